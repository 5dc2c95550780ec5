// hls::stream as a FIFO of a given depth between threads, to find deadlocks. A stage that waits while nothing has moved
// anywhere for PATIENCE seconds names its stream and ends the program with status 4.
#pragma once
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <cstdlib>
#include <deque>
#include <iostream>
#include <mutex>
#include <string>

namespace hls {

inline std::atomic<long> &moves() {
    static std::atomic<long> count{0};
    return count;
}

template <typename T>
class stream {
  public:
    explicit stream(const std::string &name, std::size_t depth = 1000000) : name_(name), depth_(depth) {}

    T read() {
        std::unique_lock<std::mutex> lock(mutex_);
        while (words_.empty()) {
            wait(lock, "empty");
        }
        const T word = words_.front();
        words_.pop_front();
        moved();
        return word;
    }

    void write(const T &word) {
        std::unique_lock<std::mutex> lock(mutex_);
        while (words_.size() >= depth_) {
            wait(lock, "full");
        }
        words_.push_back(word);
        moved();
    }

  private:
    void wait(std::unique_lock<std::mutex> &lock, const char *why) {
        const long before = moves();
        if (changed_.wait_for(lock, std::chrono::seconds(PATIENCE)) == std::cv_status::timeout && moves() == before) {
            std::cerr << "deadlock: stream " << name_ << " is " << why << "\n";
            std::_Exit(4);
        }
    }

    void moved() {
        ++moves();
        changed_.notify_all();
    }

    std::string name_;
    std::size_t depth_;
    std::deque<T> words_;
    std::mutex mutex_;
    std::condition_variable changed_;
};

}  // namespace hls
