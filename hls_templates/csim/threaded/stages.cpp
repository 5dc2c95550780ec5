// The top function of a project with a thread per stage, for csim/driver.cpp. The top's file is compiled as it lies, with one macro:
// `frames` in it stands for `frames[n]`, where n counts its uses. The first use is the parameter, so the top takes an array; use
// n + 2 is the argument of stage n. Thread n calls the top with the number of frames for stage n and 0 for all others: it does the
// work of its stage, while the other stages, given no frames, touch no stream.
// Compiled with QFX_STAGES (the top's file) and QFX_STAGE_TOP, the top. All headers of the project are included before.
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <fstream>
#include <thread>

namespace qfx_csim {
static const int BASE = __COUNTER__;
}

#define frames frames[__COUNTER__ - qfx_csim::BASE]
#include QFX_STAGES
#undef frames

namespace qfx_csim {

static const int STAGES = __COUNTER__ - BASE - 2;

inline void read_depths() {
    const char *name = std::getenv("QFX_DEPTHS");
    if (name == nullptr) {
        return;
    }
    std::ifstream file(name);
    std::string stream;
    for (std::size_t depth = 0; file >> stream >> depth;) {
        run().depths[stream] = depth == 0 ? UNBOUNDED : depth;
    }
}

inline void write_traces() {
    const char *name = std::getenv("QFX_TRACE");
    if (name == nullptr) {
        return;
    }
    std::ofstream file(name);
    for (std::size_t number = 0; number < run().traces.size(); ++number) {
        file << "stage " << number << "\n" << run().traces[number];
    }
}

// What thread `number` passes to the top for an argument: a port as it is, the number of frames in its own entry of `counts`.
template <typename BEAT>
hls::stream<BEAT> &passed(int, std::vector<ap_uint<32>> &, hls::stream<BEAT> &port) {
    return port;
}

inline ap_uint<32> *passed(int number, std::vector<ap_uint<32>> &counts, unsigned frames) {
    counts[number + 2] = frames;
    return counts.data();
}

template <typename... ARGUMENT>
void run_stage(int number, ARGUMENT &...arguments) {
    stage() = number;
    std::vector<ap_uint<32>> counts(STAGES + 2, 0);
    try {
        QFX_STAGE_TOP(passed(number, counts, arguments)...);
    } catch (const std::exception &error) {
        std::fprintf(stderr, "%s\n", error.what());
        std::fflush(stderr);
        std::_Exit(3);
    }
    const std::lock_guard<std::mutex> held(run().lock);
    stand_still();
}

// Takes what the top takes: its ports, then the number of frames. The ports are not bounded.
template <typename... ARGUMENT>
void threaded_top(ARGUMENT &&...arguments) {
    record &all = run();
    read_depths();
    all.waits.assign(STAGES, "");
    all.traces.assign(STAGES, "");
    all.traced = std::getenv("QFX_TRACE") != nullptr;
    all.running = STAGES;
    std::vector<std::thread> threads;
    for (int number = 0; number < STAGES; ++number) {
        threads.emplace_back([&, number] { run_stage(number, arguments...); });
    }
    for (std::thread &thread : threads) {
        thread.join();
    }
    all.streams.clear();  // the ports live on
    write_traces();
}

}  // namespace qfx_csim
