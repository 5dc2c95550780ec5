// hls::stream for C simulation: unbounded, checked, and logged. QFX's own code; the vendor's tools bring theirs.
// - Every word written to a stream of ap_uint is logged if the driver wants the stream of that name, so that the value of every
//   layer can be read afterwards.
// - Reading an empty stream throws; a stream that is destroyed with words left reports it.
#pragma once
#include <ap_int.h>
#include <cstddef>
#include <cstdint>
#include <map>
#include <stdexcept>
#include <string>
#include <vector>

namespace qfx_csim {

struct log {
    bool wanted = false;
    bool open = false;                 // while a stream of the name lives
    std::size_t width = 0;             // bits of a word
    std::vector<std::uint64_t> words;  // in chunks of 64 bits, the low one first
};

struct record {
    std::map<std::string, log> logs;
    std::vector<std::string> faults;
    const std::string *last = nullptr;  // name of the stream that was used last
};

inline record &run() {
    static record current;
    return current;
}

inline const std::string *last_stream() { return run().last; }

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

}  // namespace qfx_csim

namespace hls {

template <typename T>
class stream {
  public:
    stream() : name_("(unnamed)"), log_(nullptr) {}

    explicit stream(const std::string &name) : name_(name), log_(nullptr) {
        if (qfx_csim::logged<T>::width == 0) {
            return;
        }
        const std::map<std::string, qfx_csim::log>::iterator entry = qfx_csim::run().logs.emplace(name, qfx_csim::log()).first;
        key_ = &entry->first;
        log_ = &entry->second;
        if (log_->open) {
            throw std::runtime_error("two streams are named '" + name + "'");
        }
        log_->open = true;
        log_->width = qfx_csim::logged<T>::width;
    }

    stream(const stream &) = delete;
    stream &operator=(const stream &) = delete;

    ~stream() {
        if (log_ != nullptr) {
            log_->open = false;
        }
        if (next_ != words_.size()) {
            qfx_csim::run().faults.push_back("stream '" + name_ + "' has " + std::to_string(words_.size() - next_) +
                                          " words left at the end, of " + std::to_string(before_ + words_.size()));
        }
    }

    T read() {
        used();
        if (next_ == words_.size()) {
            throw std::runtime_error("stream '" + name_ + "' is read while it is empty, after " + std::to_string(before_ + next_) + " words");
        }
        const T word = words_[next_++];
        if (next_ == words_.size()) {
            before_ += next_;
            next_ = 0;
            std::vector<T>().swap(words_);  // a batch goes through one stage after the other: its memory is free again
        }
        return word;
    }

    void read(T &word) { word = read(); }

    void write(const T &word) {
        used();
        words_.push_back(word);
        if (log_ != nullptr && log_->wanted) {
            qfx_csim::logged<T>::append(log_->words, word);
        }
    }

    std::size_t size() const { return words_.size() - next_; }

  private:
    void used() const {
        if (key_ != nullptr) {
            qfx_csim::run().last = key_;
        }
    }

    std::string name_;
    const std::string *key_ = nullptr;  // the name, for as long as the program runs
    qfx_csim::log *log_;
    std::vector<T> words_;
    std::size_t next_ = 0;    // to be read
    std::size_t before_ = 0;  // words read that are no longer in words_
};

}  // namespace hls
