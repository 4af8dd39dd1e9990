/* cgroup-weight.c - shares of processor time as cgroup v1 counts them and Kubernetes requests them, and v2's weights.
 *
 * A curve of the second degree on logarithmic scales leads through least, default and most of both: 2, 1024, 262144
 * shares are the weights 1, 100, 10000. Its arithmetic stands here, since libm would be one more library in every
 * supervisor, for one number of a pod. */
#include "sandbox/cgroup-private.h"

#define SHARES_MIN 2
#define SHARES_MAX 262144
#define WEIGHT_MIN 1
#define WEIGHT_MAX 10000
#define LN_10 2.302585092994045684
#define TERMS 50
/* What is that little more than an integer is the integer, which arithmetic has missed. */
#define TOLERANCE 1e-9

static double log2_of(uint64_t n) {
        int whole = 63 - __builtin_clzll(n);
        double x = (double)n / (double)(1ULL << whole), fraction = 0, bit = 1;

        for (unsigned i = 0; i < TERMS; i++) {
                x *= x;
                bit /= 2;
                if (x >= 2) {
                        x /= 2;
                        fraction += bit;
                }
        }
        return whole + fraction;
}

/* 0 to 4. */
static double power_of_10(double exponent) {
        double sum = 1, term = 1;

        for (unsigned i = 1; i < TERMS; i++) {
                term *= exponent * LN_10 / i;
                sum += term;
        }
        return sum;
}

uint64_t cgroup_weight_from_shares(uint64_t shares) {
        if (shares <= SHARES_MIN)
                return WEIGHT_MIN;
        if (shares >= SHARES_MAX)
                return WEIGHT_MAX;
        double l = log2_of(shares), weight = power_of_10((l * l + 125 * l) / 612 - 7.0 / 34);
        uint64_t whole = (uint64_t)weight;
        return weight - (double)whole > TOLERANCE ? whole + 1 : whole;
}

uint64_t cgroup_shares_from_weight(uint64_t weight) {
        uint64_t low = SHARES_MIN, high = SHARES_MAX;

        if (weight > WEIGHT_MAX)
                return SHARES_MAX;
        while (low < high) {
                uint64_t middle = (low + high) / 2;
                if (cgroup_weight_from_shares(middle) < weight)
                        low = middle + 1;
                else
                        high = middle;
        }
        return low;
}
