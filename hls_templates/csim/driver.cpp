// Runs the top function of a project on a file of codes and writes what came out.
// Compiled with QFX_SOURCE (the top's file), QFX_TOP, and its ports: QFX_INPUTS is a sequence of QFX_INPUT(beat type, port, bits
// of a code in a beat, codes of a beat, codes of a frame), QFX_OUTPUTS of QFX_OUTPUT with the same, QFX_PORTS the names of all, with
// commas between them.
//     csim INPUT FRAMES OUTPUT STREAM...
// FRAMES: of each call of the top function, with commas between them. INPUT: per call and input port the number of its codes and the
// codes, all int64. OUTPUT: a section for the codes that left each output port in all calls, then one for each STREAM; a section is the
// width of a word in bits, the number of 64-bit chunks, and the chunks. Ends with 3 and a message if a stream was misused.
#include QFX_SOURCE
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <fstream>
#include <sstream>

static void write_section(std::ofstream &file, std::uint64_t width, const std::vector<std::uint64_t> &words) {
    const std::uint64_t head[2] = {width, words.size()};
    file.write(reinterpret_cast<const char *>(head), sizeof head);
    file.write(reinterpret_cast<const char *>(words.data()), static_cast<std::streamsize>(words.size() * sizeof words[0]));
}

template <int SLOT, int SLOTS, typename BEAT>
static void feed_port(hls::stream<BEAT> &port, std::ifstream &input, std::int64_t frame) {
    std::int64_t count = 0;
    std::int64_t code = 0;
    input.read(reinterpret_cast<char *>(&count), sizeof count);
    while (count != 0) {
        for (std::int64_t left = frame; left > 0; left -= SLOTS) {
            BEAT beat = BEAT();
            for (int slot = 0; slot < SLOTS && slot < left; ++slot, --count) {
                input.read(reinterpret_cast<char *>(&code), sizeof code);
                beat.data.range(SLOT * slot + SLOT - 1, SLOT * slot) = ap_int<SLOT>(code);
            }
            beat.keep = -1;
            beat.strb = -1;
            beat.last = count == 0 ? 1 : 0;
            port.write(beat);
        }
    }
}

template <int SLOT, int SLOTS, typename BEAT>
static std::vector<std::uint64_t> drain_port(hls::stream<BEAT> &port, const char *name, std::int64_t frame) {
    std::vector<std::uint64_t> codes;
    for (std::int64_t beats = 1, left = frame; port.size() != 0; ++beats, left = left > SLOTS ? left - SLOTS : frame) {
        const BEAT beat = port.read();
        for (int slot = 0; slot < SLOTS; ++slot) {
            ap_int<SLOT> code = 0;
            code.range(SLOT - 1, 0) = beat.data.range(SLOT * slot + SLOT - 1, SLOT * slot);
            const bool sent = slot < left;
            if (sent) {
                codes.push_back(static_cast<std::uint64_t>(code.to_int64()));
            }
            for (int byte = SLOT / 8 * slot; byte < SLOT / 8 * (slot + 1); ++byte) {
                if ((beat.keep[byte] == 1) != sent || (beat.strb[byte] == 1) != sent) {
                    throw std::runtime_error("TKEEP or TSTRB is wrong at beat " + std::to_string(beats) + " of stream '" + name + "'");
                }
            }
        }
        if ((beat.last == 1) != (port.size() == 0)) {
            throw std::runtime_error("TLAST is wrong at beat " + std::to_string(beats) + " of stream '" + name + "'");
        }
    }
    return codes;
}

static std::string in_a_call(unsigned frames) {
    return ", in a call of " + std::to_string(frames) + (frames == 1 ? " frame" : " frames");
}

static std::vector<std::vector<std::uint64_t>> run_top(std::ifstream &input, unsigned frames) {
    std::vector<std::vector<std::uint64_t>> results;
#define QFX_INPUT(BEAT, PORT, SLOT, SLOTS, FRAME) \
    hls::stream<BEAT> PORT(#PORT);               \
    feed_port<SLOT, SLOTS>(PORT, input, FRAME);
#define QFX_OUTPUT(BEAT, PORT, SLOT, SLOTS, FRAME) hls::stream<BEAT> PORT(#PORT);
    QFX_INPUTS
    QFX_OUTPUTS
#undef QFX_OUTPUT
#define QFX_OUTPUT(BEAT, PORT, SLOT, SLOTS, FRAME) results.push_back(drain_port<SLOT, SLOTS>(PORT, #PORT, FRAME));
    try {
        QFX_TOP(QFX_PORTS, frames);
    } catch (const std::runtime_error &error) {
        throw std::runtime_error(error.what() + in_a_call(frames));
    }
    QFX_OUTPUTS
    return results;
}

// What crashes, an assertion of the headers for instance, says where: the stage that runs has used this stream.
static void crashed(int number) {
    if (qfx_csim::last_stream() != nullptr) {
        std::fprintf(stderr, "after stream '%s' was used\n", qfx_csim::last_stream()->c_str());
    }
    std::signal(number, SIG_DFL);
    std::raise(number);
}

int main(int count, char **arguments) {
    for (const int number : {SIGABRT, SIGSEGV, SIGFPE, SIGILL}) {
        std::signal(number, crashed);
    }
    unsigned frames = 0;  // of the last call
    try {
        for (int index = 4; index < count; ++index) {
            qfx_csim::run().logs[arguments[index]].wanted = true;
        }
        std::ifstream input(arguments[1], std::ios::binary);
        std::istringstream calls(arguments[2]);
        std::vector<std::vector<std::uint64_t>> results;
        for (std::string word; qfx_csim::run().faults.empty() && std::getline(calls, word, ',');) {
            frames = static_cast<unsigned>(std::atol(word.c_str()));
            const std::vector<std::vector<std::uint64_t>> sent = run_top(input, frames);
            results.resize(sent.size());
            for (std::size_t port = 0; port < sent.size(); ++port) {
                results[port].insert(results[port].end(), sent[port].begin(), sent[port].end());
            }
        }
        std::ofstream output(arguments[3], std::ios::binary);
        for (const std::vector<std::uint64_t> &beats : results) {
            write_section(output, 64, beats);
        }
        for (int index = 4; index < count; ++index) {
            const qfx_csim::log &found = qfx_csim::run().logs[arguments[index]];
            if (found.width == 0) {
                throw std::runtime_error(std::string("there is no stream '") + arguments[index] + "'");
            }
            write_section(output, found.width, found.words);
        }
        output.flush();
        if (!output) {
            throw std::runtime_error("the results cannot be written");
        }
    } catch (const std::exception &error) {
        std::fprintf(stderr, "%s\n", error.what());
        return 3;
    }
    for (const std::string &fault : qfx_csim::run().faults) {
        std::fprintf(stderr, "%s%s\n", fault.c_str(), in_a_call(frames).c_str());
    }
    return qfx_csim::run().faults.empty() ? 0 : 3;
}
