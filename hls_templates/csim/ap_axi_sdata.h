// ap_axiu for C simulation, without the side channels of width 0. QFX's own code; the vendor's tools bring theirs.
#pragma once
#include <ap_int.h>

template <int WIDTH, int USER, int ID, int DEST>
struct ap_axiu {
    static_assert(USER == 0 && ID == 0 && DEST == 0, "user, id and dest channels are not simulated");
    ap_uint<WIDTH> data = 0;
    ap_uint<(WIDTH + 7) / 8> keep = 0;
    ap_uint<(WIDTH + 7) / 8> strb = 0;
    ap_uint<1> last = 0;
};
