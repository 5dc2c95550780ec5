/* The cast and the batch normalisation of training, one pass over memory each. Compiled on first use by qfx/quant/kernel.py.
 *
 * loops.h holds the functions; it is read once per number type. Every operation is rounded by itself: no -ffast-math, no fused
 * multiply-add (-ffp-contract=off), so that a result has the bits that torch's separate operations give.
 */

#include <math.h>
#include <stdint.h>
#include <string.h>

#define BLOCK 4096 /* elements that one thread takes at a time */
#define RUN 512    /* elements summed in the number type itself, before they go into a double */
#define SMALL 32768 /* up to this many elements one thread is faster than several */
#define MOST_FRAC 64

enum rounding { RND, RND_ZERO, RND_MIN_INF, RND_INF, RND_CONV, TRN, TRN_ZERO, K_HOT };

typedef struct {
    int32_t rounding; /* one of enum rounding */
    int32_t digits;   /* of K_HOT */
    int32_t most;     /* K_HOT: largest exponent of a digit */
    int32_t relu;     /* whether max(x, 0) is cast; RND only */
    double low, high; /* the range, in codes */
    double inside_low, inside_high; /* K_HOT: x is inside where it lies between, both excluded */
} format;

#define REAL float
#define BITS uint32_t
#define MANTISSA 23
#define EXPONENT 0x7f800000u
#define NAME(name) name##_f32
#define FLOOR floorf
#define CEIL ceilf
#define EVEN rintf
#define ABS fabsf
#define COPYSIGN copysignf
#define LDEXP ldexpf
#include "loops.h"

#undef REAL
#undef BITS
#undef MANTISSA
#undef EXPONENT
#undef NAME
#undef FLOOR
#undef CEIL
#undef EVEN
#undef ABS
#undef COPYSIGN
#undef LDEXP
#define REAL double
#define BITS uint64_t
#define MANTISSA 52
#define EXPONENT 0x7ff0000000000000u
#define NAME(name) name##_f64
#define FLOOR floor
#define CEIL ceil
#define EVEN rint
#define ABS fabs
#define COPYSIGN copysign
#define LDEXP ldexp
#include "loops.h"

/* The exact affine step of eval from float32: y[n][c][i] = scale[c] * x[n][c][i] + offset[c] in float64. */
void affine_widening(const float *x, double *y, const double *scale, const double *offset, int64_t samples, int64_t channels,
                     int64_t image, int32_t threads) {
#pragma omp parallel for num_threads(threads) if (samples * channels * image > SMALL)
    for (int64_t plane = 0; plane < samples * channels; plane++) {
        const double a = scale[plane % channels], b = offset[plane % channels];
        const float *from = x + plane * image;
        double *to = y + plane * image;
#pragma omp simd
        for (int64_t i = 0; i < image; i++)
            to[i] = (double)from[i] * a + b;
    }
}

/* cast_f64 with the result in float32, which holds the codes of up to 24 bits. */
void cast_narrowing(const double *x, float *q, const double *frac, int64_t count, const format *to, int32_t threads) {
#pragma omp parallel for num_threads(threads) if (count > SMALL)
    for (int64_t start = 0; start < count; start += BLOCK) {
        const int64_t length = count - start < BLOCK ? count - start : BLOCK;
        double wide[BLOCK];
        cast_block_f64(x + start, wide, length, *frac, to);
        for (int64_t i = 0; i < length; i++)
            q[start + i] = (float)wide[i];
    }
}

/* One operand of `sum_cast`: x, or scale[c] * x + offset[c], cast to at most 24 bits where `to` is given. */
typedef struct {
    const float *x;
    const double *scale, *offset; /* null: x itself; with `to` only */
    const float *frac;
    const format *to; /* null: no cast */
} operand;

#ifdef FP_FAST_FMA
#define MULTIPLY_ADD(x, a, b) fma(x, a, b)
#else
#define MULTIPLY_ADD(x, a, b) ((x) * (a) + (b))
#endif

/* q = Q(a * x + b), each step exact in double. AP_RND is floor(. + 1/2), a sum that the proof of eval has bounded. */
static inline void affine_cast(const float *restrict x, float *restrict q, double a, double b, float frac, const format *to,
                               int64_t count) {
    if (to->rounding == RND) {
        const int f = integer_frac_f32(frac);
        const float step = ldexpf(1, -f), low = (float)to->low, high = (float)to->high;
        a = ldexp(a, f), b = ldexp(b, f);
        for (int64_t i = 0; i < count; i++)
            q[i] = clip_f32((float)floor(MULTIPLY_ADD((double)x[i], a, b) + 0.5), low, high) * step;
        return;
    }
    double wide[RUN];
    for (int64_t i = 0; i < count; i++)
        wide[i] = MULTIPLY_ADD((double)x[i], a, b);
    cast_block_f64(wide, wide, count, frac, to);
    for (int64_t i = 0; i < count; i++)
        q[i] = (float)wide[i];
}

static inline void operand_run(const operand *from, float *value, int64_t start, int64_t channel, int64_t count) {
    const float *x = from->x + start;
    if (from->scale)
        affine_cast(x, value, from->scale[channel], from->offset[channel], *from->frac, from->to, count);
    else if (from->to)
        cast_block_f32(x, value, count, *from->frac, from->to);
    else
        memcpy(value, x, (size_t)count * sizeof *x);
}

/* The element-wise steps of eval between a convolution and the next in one: the sum of the operands (samples, channels, image), cast
 * where `to` is given. Only where the steps before a cast are proved exact in double, and the sum in float.
 */
void sum_cast(const operand *operands, int32_t number, float *q, const float *frac, const format *to, int64_t samples,
              int64_t channels, int64_t image, int32_t threads) {
#pragma omp parallel for num_threads(threads) if (samples * channels * image > SMALL)
    for (int64_t plane = 0; plane < samples * channels; plane++) {
        const int64_t channel = plane % channels, end = (plane + 1) * image;
        for (int64_t start = plane * image; start < end; start += RUN) {
            const int64_t count = end - start < RUN ? end - start : RUN;
            float sum[RUN], other[RUN];
            operand_run(operands, sum, start, channel, count);
            for (int32_t which = 1; which < number; which++) {
                operand_run(operands + which, other, start, channel, count);
                for (int64_t i = 0; i < count; i++)
                    sum[i] += other[i];
            }
            if (to)
                cast_block_f32(sum, q + start, count, *frac, to);
            else
                memcpy(q + start, sum, (size_t)count * sizeof *sum);
        }
    }
}

/* Whether `number` pieces of memory hold the same bytes as their copies. */
int32_t same_bytes(const int64_t *addresses, const int64_t *copies, const int64_t *sizes, int64_t number) {
    for (int64_t i = 0; i < number; i++)
        if (memcmp((const void *)(intptr_t)addresses[i], (const void *)(intptr_t)copies[i], (size_t)sizes[i]))
            return 0;
    return 1;
}
