/* The functions of kernel.c for one number type, REAL. */

/* The binary point in use for a real one: nearest, ties up, within +-MOST_FRAC. */
static inline int NAME(integer_frac)(REAL frac) {
    const REAL below = FLOOR(frac);
    const REAL nearest = below + (frac - below >= (REAL)0.5);
    return frac != frac ? 0 : nearest < -MOST_FRAC ? -MOST_FRAC : nearest > MOST_FRAC ? MOST_FRAC : (int)nearest;
}

/* floor(x + 1/2) is wrong: 0.49999997f + 0.5f is 1. The difference below is exact where it decides. */
static inline REAL NAME(half_up)(REAL x) {
    const REAL below = FLOOR(x);
    return below + (x - below >= (REAL)0.5 ? 1 : 0);
}
static inline REAL NAME(half_down)(REAL x) { return -NAME(half_up)(-x); }

/* The signed power of two, exponent 0..most, or zero, that is nearest to x; 2**e * 1.5 goes up. */
static inline REAL NAME(nearest_power)(REAL x, REAL largest) {
    const REAL magnitude = ABS(x);
    BITS bits;
    memcpy(&bits, &magnitude, sizeof bits);
    bits = (bits + ((BITS)1 << (MANTISSA - 1))) & EXPONENT;
    REAL power;
    memcpy(&power, &bits, sizeof power);
    power = power < 1 ? 1 : power;
    power = power > largest ? largest : power;
    return magnitude >= (REAL)0.5 ? COPYSIGN(power, x) : 0;
}

/* The code of x before it is brought into the range. */
static inline __attribute__((always_inline)) REAL NAME(code)(REAL x, enum rounding rounding, int digits, REAL largest) {
    switch (rounding) {
    case RND: return NAME(half_up)(x);
    case RND_MIN_INF: return NAME(half_down)(x);
    case RND_INF: return COPYSIGN(NAME(half_up)(ABS(x)), x);
    case RND_ZERO: return COPYSIGN(NAME(half_down)(ABS(x)), x);
    case RND_CONV: return EVEN(x);
    case TRN: return FLOOR(x);
    case TRN_ZERO: return x < 0 ? CEIL(x) : FLOOR(x);
    case K_HOT: break;
    }
    REAL sum = 0;
    for (int digit = 0; digit < digits; digit++) {
        const REAL power = NAME(nearest_power)(x, largest);
        sum += power;
        x -= power;
    }
    return sum;
}

static inline REAL NAME(clip)(REAL x, REAL low, REAL high) { /* NaN stays */
    x = x < low ? low : x;
    return x > high ? high : x;
}

/* q = clip(R(x * 2**f)) * 2**-f for `count` elements with one binary point. */
static inline __attribute__((always_inline)) void NAME(cast_run)(const REAL *x, REAL *q, int64_t count, int frac, const format *to,
                                                                 enum rounding rounding, int relu, int digits) {
    const REAL scale = LDEXP(1, frac), step = LDEXP(1, -frac), low = to->low, high = to->high, largest = LDEXP(1, to->most);
#pragma omp simd
    for (int64_t i = 0; i < count; i++) {
        REAL value = x[i];
        if (relu)
            value = value < 0 ? 0 : value;
        q[i] = NAME(clip)(NAME(code)(value * scale, rounding, digits, largest), low, high) * step;
    }
}

/* Gradients of `count` elements with one binary point; returns the sum of g * dq/df, without the factor ln 2.
 *
 *     inside:  dx = g, dq/df = x - q        outside:  dx = 0, dq/df = -q
 */
static inline __attribute__((always_inline)) double NAME(backward_run)(const REAL *g, const REAL *x, REAL *dx, int64_t count,
                                                                       int frac, const format *to, enum rounding rounding, int relu,
                                                                       int digits) {
    const REAL scale = LDEXP(1, frac), step = LDEXP(1, -frac), low = to->low, high = to->high, largest = LDEXP(1, to->most);
    const REAL inside_low = to->inside_low, inside_high = to->inside_high;
    double total = 0;
    for (int64_t start = 0; start < count; start += RUN) {
        const int64_t end = start + RUN < count ? start + RUN : count;
        REAL sum = 0;
#pragma omp simd reduction(+ : sum)
        for (int64_t i = start; i < end; i++) {
            REAL value = x[i];
            if (relu)
                value = value < 0 ? 0 : value;
            const REAL scaled = value * scale, code = NAME(code)(scaled, rounding, digits, largest);
            const REAL clipped = NAME(clip)(code, low, high), q = clipped * step;
            int inside = clipped == code;
            if (rounding == K_HOT)
                inside = inside & (scaled > inside_low) & (scaled < inside_high);
            sum += g[i] * ((inside ? value : 0) - q);
            if (relu)
                inside = inside & (x[i] > 0);
            dx[i] = inside ? g[i] : 0;
        }
        total += sum;
    }
    return total;
}

/* A loop per rounding mode, so that the inner one has no branch; CALL gets the mode and relu as constants. */
#define EACH_MODE(CALL)                                                                                                            \
    switch (to->rounding) {                                                                                                        \
    case RND:                                                                                                                      \
        if (to->relu) { CALL(RND, 1, 0); }                                                                                         \
        else { CALL(RND, 0, 0); }                                                                                                  \
        break;                                                                                                                     \
    case RND_ZERO: CALL(RND_ZERO, 0, 0); break;                                                                             \
    case RND_MIN_INF: CALL(RND_MIN_INF, 0, 0); break;                                                                       \
    case RND_INF: CALL(RND_INF, 0, 0); break;                                                                               \
    case RND_CONV: CALL(RND_CONV, 0, 0); break;                                                                             \
    case TRN: CALL(TRN, 0, 0); break;                                                                                       \
    case TRN_ZERO: CALL(TRN_ZERO, 0, 0); break;                                                                             \
    default:                                                                                                                       \
        switch (to->digits) {                                                                                                      \
        case 1: CALL(K_HOT, 0, 1); break;                                                                                          \
        case 2: CALL(K_HOT, 0, 2); break;                                                                                          \
        case 3: CALL(K_HOT, 0, 3); break;                                                                                          \
        default: CALL(K_HOT, 0, to->digits); break;                                                                                \
        }                                                                                                                          \
    }

/* q of `count` elements with one binary point, by one thread. */
static void NAME(cast_block)(const REAL *x, REAL *q, int64_t count, REAL frac, const format *to) {
    const int f = NAME(integer_frac)(frac);
#define CALL(mode, relu, digits) NAME(cast_run)(x, q, count, f, to, mode, relu, digits)
    EACH_MODE(CALL)
#undef CALL
}

/* q of `rows` x `columns` elements, a binary point per row. */
void NAME(cast)(const REAL *x, REAL *q, const REAL *frac, int64_t rows, int64_t columns, const format *to, int32_t threads) {
    const int64_t blocks = (columns + BLOCK - 1) / BLOCK;
#pragma omp parallel for num_threads(threads) if (rows * columns > SMALL)
    for (int64_t block = 0; block < rows * blocks; block++) {
        const int64_t row = block / blocks, first = block % blocks * BLOCK, from = row * columns + first;
        NAME(cast_block)(x + from, q + from, columns - first < BLOCK ? columns - first : BLOCK, frac[row], to);
    }
}

/* dx, and per row the gradient of the binary point; `sums` has room for rows * ceil(columns / BLOCK), added up in order. */
void NAME(cast_backward)(const REAL *g, const REAL *x, const REAL *frac, REAL *dx, REAL *dfrac, double *sums, int64_t rows,
                         int64_t columns, const format *to, int32_t threads) {
    const int64_t blocks = (columns + BLOCK - 1) / BLOCK;
#pragma omp parallel for num_threads(threads) if (rows * columns > SMALL)
    for (int64_t block = 0; block < rows * blocks; block++) {
        const int64_t row = block / blocks, first = block % blocks * BLOCK, from = row * columns + first;
        const int64_t count = columns - first < BLOCK ? columns - first : BLOCK;
        const int f = NAME(integer_frac)(frac[row]);
#define CALL(mode, relu, digits) sums[block] = NAME(backward_run)(g + from, x + from, dx + from, count, f, to, mode, relu, digits)
        EACH_MODE(CALL)
#undef CALL
    }
    for (int64_t row = 0; row < rows; row++) {
        double sum = 0;
        for (int64_t block = row * blocks; block < (row + 1) * blocks; block++)
            sum += sums[block];
        dfrac[row] = (REAL)(sum * 0.69314718055994530942);
    }
}
#undef EACH_MODE

/* Per channel of x (samples, channels, image) the sums of u * v and of u, where u = x, v = x - x[0][c][0] if g is null
 * (shifted: then the sums are of v and v * v), else u = g, v = x. The sums of a plane are added in a fixed order.
 */
void NAME(channel_sums)(const REAL *x, const REAL *g, double *first, double *second, int64_t samples, int64_t channels, int64_t image,
                        int32_t threads) {
#pragma omp parallel for num_threads(threads) if (samples * channels * image > SMALL)
    for (int64_t channel = 0; channel < channels; channel++) {
        const REAL pivot = g ? 0 : x[channel * image];
        double sum = 0, product = 0;
        for (int64_t sample = 0; sample < samples; sample++) {
            const REAL *v = x + (sample * channels + channel) * image, *u = g ? g + (v - x) : v;
            for (int64_t start = 0; start < image; start += RUN) {
                const int64_t end = start + RUN < image ? start + RUN : image;
                REAL a = 0, b = 0;
#pragma omp simd reduction(+ : a, b)
                for (int64_t i = start; i < end; i++) {
                    const REAL left = u[i] - pivot, right = v[i] - pivot;
                    a += left;
                    b += left * right;
                }
                sum += a;
                product += b;
            }
        }
        first[channel] = sum;
        second[channel] = product;
    }
}

/* y[n][c][i] = scale[c] * x[n][c][i] + offset[c], and with g: + slope[c] * g[n][c][i]. */
void NAME(affine)(const REAL *x, const REAL *g, REAL *y, const REAL *scale, const REAL *offset, const REAL *slope, int64_t samples,
                  int64_t channels, int64_t image, int32_t threads) {
#pragma omp parallel for num_threads(threads) if (samples * channels * image > SMALL)
    for (int64_t plane = 0; plane < samples * channels; plane++) {
        const REAL a = scale[plane % channels], b = offset[plane % channels];
        const REAL *from = x + plane * image;
        REAL *to = y + plane * image;
        if (g) {
            const REAL c = slope[plane % channels], *gradient = g + plane * image;
#pragma omp simd
            for (int64_t i = 0; i < image; i++)
                to[i] = from[i] * a + b + gradient[i] * c;
        } else {
#pragma omp simd
            for (int64_t i = 0; i < image; i++)
                to[i] = from[i] * a + b;
        }
    }
}
