// Casts with SystemC's sc_fix and sc_ufix (IEEE 1666), a second opinion on qfx.fixed.cast. Reads cases from standard input:
//     signed width integer rounding overflow count step, then count codes of 64 bits
// in text lines with the codes behind each, binary; writes each result as a 64-bit code.
#define SC_INCLUDE_FX
#include <systemc>

#include <cmath>
#include <cstdio>
#include <vector>

template <typename FIXED>
static void cast_codes(FIXED to, int frac, const std::vector<long long> &codes, double step) {
    for (const long long code : codes) {
        to = code * step;
        const long long result = std::llround(std::ldexp(to.to_double(), frac));
        std::fwrite(&result, sizeof result, 1, stdout);
    }
}

int sc_main(int, char *[]) {
    int is_signed, width, integer, rounding, overflow;
    unsigned count;
    double step;
    while (std::scanf("%d %d %d %d %d %u %lf", &is_signed, &width, &integer, &rounding, &overflow, &count, &step) == 7) {
        std::vector<long long> codes(count);
        if (std::getchar() != '\n' || std::fread(codes.data(), sizeof(long long), count, stdin) != count) {
            return 1;
        }
        const sc_dt::sc_q_mode q = static_cast<sc_dt::sc_q_mode>(rounding);
        const sc_dt::sc_o_mode o = static_cast<sc_dt::sc_o_mode>(overflow);
        if (is_signed) {
            cast_codes(sc_dt::sc_fix(width, integer, q, o), width - integer, codes, step);
        } else {
            cast_codes(sc_dt::sc_ufix(width, integer, q, o), width - integer, codes, step);
        }
    }
    return 0;
}
