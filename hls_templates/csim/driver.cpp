// Runs the top function of a project on a file of codes and writes what came out.
// Compiled with QFX_SOURCE (the top's file), QFX_TOP, QFX_INPUT_WIDTH and QFX_OUTPUT_WIDTH (bits of a beat).
//     csim INPUT FRAMES OUTPUT STREAM...
// INPUT: int64 codes, a beat each. OUTPUT: a section for the beats that left, then one for each STREAM; a section is the width
// of a word in bits, the number of 64-bit chunks, and the chunks. Ends with 3 and a message if a stream was misused.
#include QFX_SOURCE
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <fstream>

static void write_section(std::ofstream &file, std::uint64_t width, const std::vector<std::uint64_t> &words) {
    const std::uint64_t head[2] = {width, words.size()};
    file.write(reinterpret_cast<const char *>(head), sizeof head);
    file.write(reinterpret_cast<const char *>(words.data()), static_cast<std::streamsize>(words.size() * sizeof words[0]));
}

static std::vector<std::uint64_t> run_top(std::ifstream &input, unsigned frames) {
    hls::stream<input_beat> s_in("s_in");
    hls::stream<output_beat> m_out("m_out");
    std::int64_t code = 0;
    while (input.read(reinterpret_cast<char *>(&code), sizeof code)) {
        input_beat beat = input_beat();
        beat.data = code;
        beat.keep = -1;
        beat.strb = -1;
        beat.last = input.peek() == std::ifstream::traits_type::eof() ? 1 : 0;
        s_in.write(beat);
    }
    QFX_TOP(s_in, m_out, frames);
    std::vector<std::uint64_t> beats;
    while (m_out.size() != 0) {
        const output_beat beat = m_out.read();
        const ap_int<QFX_OUTPUT_WIDTH> data = beat.data;
        beats.push_back(static_cast<std::uint64_t>(data.to_int64()));
        if ((beat.last == 1) != (m_out.size() == 0)) {
            throw std::runtime_error("TLAST is wrong at beat " + std::to_string(beats.size()) + " of stream 'm_out'");
        }
    }
    return beats;
}

int main(int count, char **arguments) {
    try {
        std::ifstream input(arguments[1], std::ios::binary);
        const std::vector<std::uint64_t> beats = run_top(input, static_cast<unsigned>(std::atol(arguments[2])));
        std::ofstream output(arguments[3], std::ios::binary);
        write_section(output, 64, beats);
        for (int index = 4; index < count; ++index) {
            const auto found = qfx_csim::run().logs.find(arguments[index]);
            if (found == qfx_csim::run().logs.end()) {
                throw std::runtime_error(std::string("there is no stream '") + arguments[index] + "'");
            }
            write_section(output, found->second.width, found->second.words);
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
        std::fprintf(stderr, "%s\n", fault.c_str());
    }
    return qfx_csim::run().faults.empty() ? 0 : 3;
}
