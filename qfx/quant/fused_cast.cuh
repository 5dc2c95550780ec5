template <typename T> T qfx_cast(T x, T scale, T step, T low, T high) {
    /* A merged ReLU needs no step of its own: it comes with unsigned formats only, whose range begins at zero. */
    const T scaled = x * scale, below = ::floor(scaled);
    const T code = below + (scaled - below >= T(0.5) ? T(1) : T(0));
    const T above = code < low ? low : code;
    return (above > high ? high : above) * step;
}
