// hls::stream for threaded execution: a FIFO of bounded depth between two threads. QFX's own code; the vendor's tools bring theirs.
// - Every stage of the top function is a thread. A read waits for a word, a write for a place.
// - Streams of a name are one stream: each thread calls the top function, and so declares all of them.
// - The depths come from the file $QFX_DEPTHS, a line `stream depth` each; 0 or no line is no bound.
// - Where every thread that has not ended waits, nothing can change any more: the program says who waits for what and ends with
//   status 4. This is found by counting, not by a clock.
// - Every word written to a stream of ap_uint that the driver wants is logged, as in C simulation. With $QFX_TRACE, so is the order of the reads and
//   writes of every stage.
#pragma once
#include <ap_int.h>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <deque>
#include <fstream>
#include <map>
#include <memory>
#include <mutex>
#include <stdexcept>
#include <string>
#include <vector>

namespace qfx_csim {

static const int NO_STAGE = -1;
static const std::size_t UNBOUNDED = static_cast<std::size_t>(-1);

struct log {
    bool wanted = false;
    std::size_t width = 0;             // bits of a word
    std::vector<std::uint64_t> words;  // in chunks of 64 bits, the low one first
};

// What all threads share; `lock` guards it and every stream.
struct record {
    std::map<std::string, log> logs;
    std::vector<std::string> faults;
    std::mutex lock;
    std::map<std::string, std::shared_ptr<void>> streams;
    std::map<std::string, std::size_t> depths;
    std::vector<std::string> waits;   // by stage, what it waits for; empty while it runs
    std::vector<std::string> traces;  // by stage, a line per read or write
    int running = 0;
    bool traced = false;
};

inline record &run() {
    static record current;
    return current;
}

inline int &stage() {  // of this thread
    static thread_local int number = NO_STAGE;
    return number;
}

inline const std::string *&last_stream() {  // that this thread used
    static thread_local const std::string *name = nullptr;
    return name;
}

template <typename T>
struct logged {
    static const std::size_t width = 0;
    static void append(std::vector<std::uint64_t> &, const T &) {}
};

template <int WIDTH>
struct logged<ap_uint<WIDTH>> {
    static const std::size_t width = WIDTH;
    static void append(std::vector<std::uint64_t> &words, const ap_uint<WIDTH> &word) {
        words.push_back(word.to_uint64());  // the low 64 bits
        ap_uint<WIDTH> rest = word;
        for (int low = 64; low < WIDTH; low += 64) {
            rest = rest >> 64;
            words.push_back(rest.to_uint64());
        }
    }
};

// The calling thread does not go on: it waits or has ended. Ends the program if that was the last one that could.
inline void stand_still() {
    record &all = run();
    if (--all.running != 0) {
        return;
    }
    bool waiting = false;
    for (const std::string &what : all.waits) {
        waiting = waiting || !what.empty();
    }
    if (!waiting) {
        return;
    }
    std::fprintf(stderr, "deadlock\n");
    for (std::size_t number = 0; number < all.waits.size(); ++number) {
        if (!all.waits[number].empty()) {
            std::fprintf(stderr, "%u %s\n", static_cast<unsigned>(number), all.waits[number].c_str());
        }
    }
    std::fflush(stderr);
    std::_Exit(4);
}

// What lies behind all stream objects of a name.
template <typename T>
struct fifo {
    std::string name;
    std::size_t depth = UNBOUNDED;
    std::deque<T> words;
    std::condition_variable changed;
    int waiting = 0;  // threads at `changed`
    int reader = NO_STAGE;
    int writer = NO_STAGE;
    log *kept = nullptr;

    ~fifo() {
        if (!words.empty()) {
            run().faults.push_back("stream '" + name + "' has " + std::to_string(words.size()) + " words left at the end");
        }
    }

    // Waits at an end of the stream while it is full, or empty.
    void wait(std::unique_lock<std::mutex> &held, bool full) {
        if (stage() == NO_STAGE) {
            throw std::runtime_error("stream '" + name + "' is read while it is empty");
        }
        run().waits[stage()] = name + (full ? " full " : " empty ") + std::to_string(words.size());
        ++waiting;
        stand_still();
        while (full ? words.size() >= depth : words.empty()) {
            changed.wait(held);
        }
        --waiting;
    }

    // The other side has moved a word: a thread that waits here runs again from now on, even if it has not woken up yet.
    void moved(int other) {
        if (waiting != 0 && !run().waits[other].empty()) {
            run().waits[other].clear();
            ++run().running;
            changed.notify_one();
        }
    }

    void claim(int &end, const char *what) {
        last_stream() = stage() == NO_STAGE ? nullptr : &name;
        if (end != stage() && end != NO_STAGE && stage() != NO_STAGE) {
            throw std::runtime_error("stream '" + name + "' is " + what + " by two stages");
        }
        end = stage() == NO_STAGE ? end : stage();
    }

    void note(char what) {
        if (run().traced && stage() != NO_STAGE) {
            run().traces[stage()] += what + name + "\n";
        }
    }
};

}  // namespace qfx_csim

namespace hls {

template <typename T>
class stream {
  public:
    explicit stream(const std::string &name) {
        qfx_csim::record &all = qfx_csim::run();
        const std::lock_guard<std::mutex> held(all.lock);
        std::shared_ptr<void> &kept = all.streams[name];
        if (!kept) {
            const std::shared_ptr<qfx_csim::fifo<T>> made = std::make_shared<qfx_csim::fifo<T>>();
            made->name = name;
            const auto depth = all.depths.find(name);
            if (depth != all.depths.end()) {
                made->depth = depth->second;
            }
            if (qfx_csim::logged<T>::width != 0) {
                made->kept = &all.logs[name];
                made->kept->width = qfx_csim::logged<T>::width;
            }
            kept = made;
        }
        fifo_ = std::static_pointer_cast<qfx_csim::fifo<T>>(kept);
    }

    stream(const stream &) = delete;
    stream &operator=(const stream &) = delete;

    T read() {
        std::unique_lock<std::mutex> held(qfx_csim::run().lock);
        fifo_->claim(fifo_->reader, "read");
        if (fifo_->words.empty()) {
            fifo_->wait(held, false);
        }
        const T word = fifo_->words.front();
        fifo_->words.pop_front();
        fifo_->note('R');
        fifo_->moved(fifo_->writer);
        return word;
    }

    void read(T &word) { word = read(); }

    void write(const T &word) {
        std::unique_lock<std::mutex> held(qfx_csim::run().lock);
        fifo_->claim(fifo_->writer, "written");
        if (fifo_->words.size() >= fifo_->depth) {
            fifo_->wait(held, true);
        }
        fifo_->words.push_back(word);
        if (fifo_->kept != nullptr && fifo_->kept->wanted) {
            qfx_csim::logged<T>::append(fifo_->kept->words, word);
        }
        fifo_->note('W');
        fifo_->moved(fifo_->reader);
    }

    std::size_t size() const { return fifo_->words.size(); }

  private:
    std::shared_ptr<qfx_csim::fifo<T>> fifo_;
};

}  // namespace hls
