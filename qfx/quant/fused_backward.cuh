template <typename T> void qfx_cast_backward(T g, T x, T scale, T step, T low, T high, T relu, T& dx, T& df) {
    /* dx, and in df g * dq/df without its factor ln 2; relu is 1 or 0. */
    const T value = relu > T(0) && x < T(0) ? T(0) : x;
    const T scaled = value * scale, below = ::floor(scaled);
    const T code = below + (scaled - below >= T(0.5) ? T(1) : T(0));
    const T above = code < low ? low : code, clipped = above > high ? high : above;
    const bool inside = clipped == code;
    df = g * ((inside ? value : T(0)) - clipped * step);
    dx = inside && !(relu > T(0) && !(x > T(0))) ? g : T(0);
}
