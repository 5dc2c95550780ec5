// The products of packed_multiply.hpp against those of native integers: every STEP-th combination of x and of the weights, and sums
// of TERMS products at their ends, in every combination of ends. Prints the number of products compared.
#include <ap_int.h>
#include <cstdint>
#include <cstdio>
#include <initializer_list>
#include "packed_multiply.hpp"

struct layer {
    struct in {
        typedef QFX_X code;
    };
    static const unsigned LANES = QFX_LANES;
    static const unsigned LANE_WIDTH = QFX_LANE_WIDTH;
    static const unsigned LOWEST_WIDTH = QFX_LOWEST_WIDTH;
    static const unsigned FIELD_WIDTH = QFX_FIELD_WIDTH;
    static const unsigned PACKED_WIDTH = QFX_PACKED_WIDTH;
    typedef ap_uint<QFX_STORED_WIDTH> packed_entry;
    typedef ap_uint<QFX_LANES * QFX_LANE_WIDTH> packed_lanes;
    typedef ap_int<QFX_LOWEST_WIDTH> lowest_field;
    typedef ap_int<QFX_FIELD_WIDTH> upper_field;
    typedef ap_int<QFX_LANE_WIDTH> lane_sum;
    typedef ap_int<QFX_PACKED_WIDTH> packed;
    typedef ap_int<QFX_PRODUCT_WIDTH> packed_product;
    typedef ap_int<48> packed_sum;
};

static const int LANES = QFX_LANES;

// The entry as the table stores it, made here in its own way: the packed integer without the repeated signs.
static std::uint64_t entry_of(const int *weights) {
    std::int64_t packed = 0;
    for (int lane = LANES - 1; lane >= 0; --lane) {
        packed = packed * (std::int64_t(1) << QFX_LANE_WIDTH) + weights[lane];
    }
    std::uint64_t entry = std::uint64_t(packed) & ((1u << QFX_LOWEST_WIDTH) - 1);
    for (int lane = 1, at = QFX_LOWEST_WIDTH; lane < LANES; ++lane, at += QFX_FIELD_WIDTH) {
        entry |= ((std::uint64_t(packed) >> (lane * QFX_LANE_WIDTH)) & ((1u << QFX_FIELD_WIDTH) - 1)) << at;
    }
    return entry;
}

// A sum of `terms` equal products; true if every lane is right.
static bool right(int x, const int *weights, int terms) {
    const layer::packed_entry entry = entry_of(weights);
    const layer::packed packed = packed_word<layer>(entry);
    const layer::in::code code = x;
    layer::packed_sum sum = 0;
    for (int term = 0; term < terms; ++term) {
        sum += packed_multiply<layer>(code, packed);
    }
    for (int lane = 0; lane < LANES; ++lane) {
        if (packed_lane<layer>(sum, lane * QFX_LANE_WIDTH).to_int64() != std::int64_t(terms) * x * weights[lane]) {
            std::printf("x %d, lane %d, weight %d, %d terms\n", x, lane, weights[lane], terms);
            return false;
        }
    }
    return true;
}

int main() {
    const std::int64_t values = QFX_WEIGHT_HIGH - QFX_WEIGHT_LOW + 1;
    std::int64_t all = QFX_X_HIGH - QFX_X_LOW + 1;
    for (int lane = 0; lane < LANES; ++lane) {
        all *= values;
    }
    std::int64_t compared = 0;
    int weights[3] = {0, 0, 0};
    for (std::int64_t number = 0; number < all; number += QFX_STEP) {
        std::int64_t rest = number;
        for (int lane = 0; lane < LANES; ++lane, rest /= values) {
            weights[lane] = QFX_WEIGHT_LOW + int(rest % values);
        }
        if (!right(QFX_X_LOW + int(rest), weights, 1)) {
            return 1;
        }
        compared += LANES;
    }
    for (int x : {QFX_X_LOW, QFX_X_HIGH}) {
        for (int ends = 0; ends < (1 << LANES); ++ends) {
            for (int lane = 0; lane < LANES; ++lane) {
                weights[lane] = (ends >> lane & 1) ? QFX_WEIGHT_HIGH : QFX_WEIGHT_LOW;
            }
            if (!right(x, weights, QFX_TERMS)) {
                return 1;
            }
            compared += LANES;
        }
    }
    std::printf("%lld\n", static_cast<long long>(compared));
    return 0;
}
