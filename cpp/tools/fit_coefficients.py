#!/usr/bin/env python3
"""Derives the numbers in cpp/laminet/kernels/body/coefficients.h, and prints that file.

    python cpp/tools/fit_coefficients.py | clang-format > cpp/laminet/kernels/body/coefficients.h

Needs mpmath. Every polynomial is the minimax fit of the relative error, by the exchange algorithm
of Remez, of the function named beside it. Its coefficients are rounded to the element type, and
then moved by single units in the last place, one or two at a time, while that lowers the error.
The worst relative error of the polynomial that remains, evaluated exactly, is printed with it.
"""

import sys

from mpmath import mp, mpf

mp.dps = 60

LN2 = mp.log(2)


def solve(f, weight, xs, powers):
    """Coefficients and the levelled error of weight * (f - sum c_k x^p_k) on the reference xs."""
    n = len(powers)
    a = mp.matrix(n + 1, n + 1)
    b = mp.matrix(n + 1, 1)
    for i, x in enumerate(xs):
        for j, p in enumerate(powers):
            a[i, j] = x**p
        a[i, n] = mpf((-1) ** i) / weight(x)
        b[i] = f(x)
    s = mp.lu_solve(a, b)
    return [s[j] for j in range(n)], abs(s[n])


def error_on(grid, fw, c, powers):
    return [w * (y - sum(ck * x**p for ck, p in zip(c, powers))) for x, (y, w) in zip(grid, fw)]


def remez(grid, fw, powers):
    """Minimax coefficients on the grid; fw holds (value, weight) for each of its points."""
    table = dict(zip(grid, fw))
    n = len(powers) + 1
    # The extrema of the Chebyshev polynomial are close to the final reference.
    last = len(grid) - 1
    at = sorted({round(last * (1 - mp.cos(mp.pi * i / (n - 1))) / 2) for i in range(n)})
    for _ in range(60):
        c, level = solve(
            lambda x: table[x][0], lambda x: table[x][1], [grid[i] for i in at], powers
        )
        e = error_on(grid, fw, c, powers)
        # The largest error of each run of one sign: these alternate.
        runs = []
        for i, v in enumerate(e):
            if runs and (e[runs[-1]] > 0) == (v > 0):
                if abs(v) > abs(e[runs[-1]]):
                    runs[-1] = i
            else:
                runs.append(i)
        while len(runs) > n:
            ends = abs(e[runs[0]]), abs(e[runs[-1]])
            runs.pop(0 if ends[0] < ends[1] else -1)
        worst = max(abs(v) for v in e)
        if len(runs) < n or worst < level * mpf("1.001"):
            break
        at = runs
    return c, worst


def chebyshev_grid(lo, hi, n):
    return [(lo + hi) / 2 - (hi - lo) / 2 * mp.cos(mp.pi * (i + mpf(1) / 2) / n) for i in range(n)]


def rounded(x, bits):
    """X rounded to that many bits, to nearest."""
    if x == 0:
        return mpf(0)
    m, e = mp.frexp(x)
    return mp.ldexp(mp.nint(mp.ldexp(m, bits)), e - bits)


def fit(f, weight, lo, hi, degree, bits):
    """Return rounded coefficients c_0 .. c_degree, and the worst weighted error that they leave."""
    grid = chebyshev_grid(mpf(lo), mpf(hi), 24 * (degree + 2))
    fw = [(f(x), weight(x)) for x in grid]
    powers = list(range(degree + 1))
    minimax, level = remez(grid, fw, powers)
    c = [rounded(ck, bits) for ck in minimax]
    c, worst = polish(c, error_on(grid, fw, c, powers), grid, fw, bits)
    print(
        f"degree {degree}: minimax 2^{log2(level):.2f}, rounded 2^{log2(worst):.2f}",
        file=sys.stderr,
    )
    return c, worst


def log2(x):
    return float(mp.log(x, 2))


def polish(c, error, grid, fw, bits):
    """Take steps by one unit in the last place of one or two coefficients that lower the error."""
    units = [mp.ldexp(1, mp.frexp(ck)[1] - bits) for ck in c]
    columns = [[float(w * u * x**k) for x, (_, w) in zip(grid, fw)] for k, u in enumerate(units)]
    steps = [(0,) * len(c)]
    for i in range(len(c)):
        for si in (-1, 1):
            one = tuple(si if k == i else 0 for k in range(len(c)))
            steps.append(one)
            for j in range(i):
                for sj in (-1, 1):
                    steps.append(tuple(sj if k == j else v for k, v in enumerate(one)))
    changes = [
        [-sum(s * col[g] for s, col in zip(step, columns) if s) for g in range(len(grid))]
        for step in steps
    ]
    e = [float(v) for v in error]
    while True:
        worst, best = min(
            (max(map(abs, map(float.__add__, e, d))), i) for i, d in enumerate(changes)
        )
        if best == 0 or worst >= 0.999 * max(map(abs, e)):
            return c, mpf(max(map(abs, e)))
        e = [v + d for v, d in zip(e, changes[best])]
        c = [ck + s * u for ck, s, u in zip(c, steps[best], units)]


def taylor(x, first, term):
    """sum_{k >= first} term(k) x^(k - first), for small x."""
    total, k, p = mpf(0), first, mpf(1)
    while True:
        t = term(k) * p
        total += t
        if abs(t) < mp.eps * abs(total) / 2**20:
            return total
        k, p = k + 1, p * x


def exp_rest(r):  # e^r = 1 + r + r^2 exp_rest(r)
    return taylor(r, 2, lambda k: 1 / mp.factorial(k))


def log1p_rest(e):  # log(1 + e) = e + e^2 log1p_rest(e)
    if abs(e) < mpf("1e-6"):
        return taylor(e, 2, lambda k: (-1) ** (k + 1) / mpf(k))
    with mp.workdps(90):
        return (mp.log1p(e) - e) / e**2


def expm1_half_rest(s):  # (e^2s - 1) / 2 = s + s^2 expm1_half_rest(s)
    return 2 * exp_rest(2 * s)


def normal_tail(t):  # the normal distribution above t is exp(-t^2/2) normal_tail(t)
    return mp.erfc(t / mp.sqrt(2)) * mp.exp(t * t / 2) / 2


def normal_center(y):  # the normal distribution below x is 1/2 + x normal_center(y), y = x^2
    total, k, p = mpf(0), 0, mpf(1)
    while abs(p) > mp.eps:
        total, k, p = total + p / (2 * k + 1), k + 1, -p * y / (2 * (k + 1))
    return total / mp.sqrt(2 * mp.pi)


def sin_rest(y):  # sin r = r + r^3 sin_rest(r^2)
    return taylor(y, 1, lambda k: (-1) ** k / mp.factorial(2 * k + 1))


def cos_rest(y):  # cos r = 1 - r^2 / 2 + r^4 cos_rest(r^2)
    return taylor(y, 2, lambda k: (-1) ** k / mp.factorial(2 * k))


def literal(x, bits):
    return mp.nstr(x, 9 if bits == 24 else 17, min_fixed=-3, max_fixed=6) + (
        "f" if bits == 24 else ""
    )


def constants(name, bits, exp_degree, log1p_degree, tanh_degree, tail, ln2_bits, turn):
    """Return the members of Constants<name>.

    tail is (degrees of center and tail, b, end), turn (degrees of sin and cos, largest argument).
    """
    out = []

    def scalar(key, value, comment=None):
        value = rounded(mpf(value), bits)
        if comment:
            out.append(f"  // {comment}")
        out.append(f"  static constexpr {name} {key} = {literal(value, bits)};")
        return value

    def array(key, c, worst, comment):
        out.append(f"  // {comment} Error 2^{log2(worst):.1f}.")
        out.append(
            f"  static constexpr {name} {key}[] = {{{', '.join(literal(x, bits) for x in c)}}};"
        )

    def split(key, value):
        hi = scalar(key + "_hi", value)
        scalar(key + "_lo", value - hi)

    # Constants of the representation: 1.5 * 2^(bits - 1) rounds what is added to it to an integer.
    scalar(
        "magic",
        mpf(3) * 2 ** (bits - 2),
        "x + magic - magic is x rounded to an integer, which stands in the low bits of x + magic.",
    )
    out.append(f"  static constexpr int mantissa_bits = {bits - 1};")
    out.append(f"  static constexpr int exponent_bias = {127 if bits == 24 else 1023};")
    scalar(
        "splitter",
        2 ** ((bits + 1) // 2) + 1,
        "Veltkamp's constant: halves a product for Dekker's.",
    )
    ln2 = scalar("ln2", LN2, "In one part, and its error, for where n times that hardly shows.")
    scalar("ln2_rest", LN2 - ln2)
    scalar(
        "log2e", 1 / LN2, "ln 2 in two parts; the first has so few bits that n times it is exact."
    )
    hi = scalar("ln2_hi", rounded(LN2, ln2_bits))
    scalar("ln2_lo", LN2 - hi)

    # 0.347 > ln(2)/2, with room for the rounding of n.
    c, worst = fit(
        exp_rest,
        lambda r: abs(r * r / mp.expm1(r)) if r else mpf(0),
        "-0.347",
        "0.347",
        exp_degree,
        bits,
    )
    array("exp_rest", c, worst, "(e^r - 1 - r) / r^2 in r, |r| < 0.347, relative to e^r - 1.")

    half = mpf(1) / 2
    c, worst = fit(
        lambda u: log1p_rest(u + half),
        lambda u: (u + half) ** 2 / mp.log1p(u + half),
        -half,
        half,
        log1p_degree,
        bits,
    )
    array(
        "log1p_rest",
        c,
        worst,
        "(log(1 + e) - e) / e^2 in e - 1/2, 0 <= e <= 1, relative to log(1 + e).",
    )

    # 0 <= s < ln(2)/2, with room for the rounding of n.
    c, worst = fit(
        expm1_half_rest,
        lambda s: abs(2 * s * s / mp.expm1(2 * s)) if s else mpf(0),
        "-0.0005",
        "0.347",
        tanh_degree,
        bits,
    )
    array(
        "expm1_half_rest",
        c,
        worst,
        "(e^2s - 1 - 2s) / 2s^2 in s, 0 <= s < 0.347, relative to e^2s - 1.",
    )

    center_degree, tail_degree, b, end = *tail[:2], *map(mpf, tail[2:])
    start = scalar(
        "tail_start",
        mpf("0.875"),
        "The normal distribution below x is 1/2 + x P(x^2), |x| <= tail_start. Relative to P.",
    )
    c, worst = fit(normal_center, lambda y: 1 / normal_center(y), 0, start**2, center_degree, bits)
    array("center", c, worst, "P.")

    middle = mpf("0.375")

    def value(u):
        z = u + middle
        t = b * z / (1 - z)
        return t * normal_tail(t)

    lo, hi = (t / (t + b) - middle for t in (start, end))
    c, worst = fit(value, lambda u: 1 / value(u), lo, hi, tail_degree, bits)
    scalar(
        "tail_b",
        b,
        "t times the normal distribution above t is e^(-t^2/2) P(u), u = t / (t + b) - middle.",
    )
    scalar("tail_middle", middle)
    scalar("tail_end", end, "gelu(-t) rounds to zero from here on.")
    array("tail", c, worst, "P in u for tail_start <= t <= tail_end, relative.")

    # 2 sqrt(2/pi) (x + 0.044715 x^3) = gelu_cubic x (gelu_shift + x^2)
    split("gelu_cubic", 2 * mp.sqrt(2 / mp.pi) * mpf("0.044715"))
    split("gelu_shift", 1 / mpf("0.044715"))
    selu_lambda, selu_alpha = (
        mpf("1.0507009873554804934193349852946"),
        mpf("1.6732632423543772848170429916717"),
    )
    scalar("selu_lambda", selu_lambda, "Klambauer et al. 2017, arXiv:1706.02515.")
    scalar("selu_lambda_alpha", selu_lambda * selu_alpha)

    sin_degree, cos_degree, largest = turn
    scalar("two_over_pi", 2 / mp.pi, "x = n pi / 2 + r, |r| < 0.79: pi / 2 in three parts.")
    rest = mp.pi / 2
    for part in (1, 2, 3):
        rest -= scalar(f"half_pi_{part}", rest)
    scalar(
        "turn_largest",
        largest,
        "Up to here the three parts leave an error below that of r; n stands in the low bits of "
        "n + magic.",
    )
    # Nothing but r is as small as r near 0: relative to r, so that it is relative to sin r.
    top = mpf("0.79") ** 2
    c, worst = fit(
        sin_rest, lambda y: y * mp.sqrt(y) / mp.sin(mp.sqrt(y)), mpf(0), top, sin_degree, bits
    )
    array("sin_rest", c, worst, "(sin r - r) / r^3 in r^2, relative to sin r.")
    c, worst = fit(cos_rest, lambda y: y * y / mp.cos(mp.sqrt(y)), mpf(0), top, cos_degree, bits)
    array("cos_rest", c, worst, "(cos r - 1 + r^2 / 2) / r^4 in r^2, relative to cos r.")
    return "\n".join(out)


def two_over_pi_words():
    """Return 2 / pi as words of 64 bits, after one of zeros: as many as a double can ask for."""
    count = 20
    with mp.workprec(64 * count + 64):
        bits = int(mp.floor(mp.ldexp(2 / mp.pi, 64 * (count - 1))))
    words = [f"0x{bits >> 64 * i & 2**64 - 1:016x}" for i in reversed(range(count))]
    return f"""
// 2 / pi, 64 bits a word, the first of which stand before the point. The last are those that the
// largest double needs.
inline constexpr std::uint64_t kTwoOverPi[] = {{{", ".join(words)}}};"""


HEADER = """\
// Coefficients of the elementary functions, written by cpp/tools/fit_coefficients.py, which says
// how; change them there.
#pragma once

#include <cstdint>

namespace laminet::kernels {

template <class T>
struct Constants;
"""


def main():
    print(HEADER)
    # n takes 8 bits in float (|n| < 256) and 11 in double, which ln2_hi must leave free. b is about
    # where the normal tail needs the lowest degree.
    print("template <>\nstruct Constants<float> {")
    print(constants("float", 24, 4, 8, 5, (4, 8, 3, "14.5"), 15, (2, 2, 2**17)))
    print("};\n\ntemplate <>\nstruct Constants<double> {")
    print(constants("double", 53, 9, 19, 10, (9, 20, 4, "38.75"), 41, (5, 5, 2**30)))
    print("};")
    print(two_over_pi_words())
    print("\n}  // namespace laminet::kernels")


if __name__ == "__main__":
    sys.exit(main())
