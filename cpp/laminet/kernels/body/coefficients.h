// Coefficients of the elementary functions, written by cpp/tools/fit_coefficients.py, which says
// how; change them there.
#pragma once

#include <cstdint>

namespace laminet::kernels {

template <class T>
struct Constants;

template <>
struct Constants<float> {
  // x + magic - magic is x rounded to an integer, which stands in the low bits of x + magic.
  static constexpr float magic = 1.2582912e+7f;
  static constexpr int mantissa_bits = 23;
  static constexpr int exponent_bias = 127;
  // Veltkamp's constant: halves a product for Dekker's.
  static constexpr float splitter = 4097.0f;
  // In one part, and its error, for where n times that hardly shows.
  static constexpr float ln2 = 0.693147182f;
  static constexpr float ln2_rest = -1.90465421e-9f;
  // ln 2 in two parts; the first has so few bits that n times it is exact.
  static constexpr float log2e = 1.44269502f;
  static constexpr float ln2_hi = 0.693145752f;
  static constexpr float ln2_lo = 1.42860677e-6f;
  // (e^r - 1 - r) / r^2 in r, |r| < 0.347, relative to e^r - 1. Error 2^-26.0.
  static constexpr float exp_rest[] = {0.49999997f, 0.166665435f, 0.0416672975f, 8.36657267e-3f,
                                       1.38825423e-3f};
  // (log(1 + e) - e) / e^2 in e - 1/2, 0 <= e <= 1, relative to log(1 + e). Error 2^-27.0.
  static constexpr float log1p_rest[] = {-0.378139555f,  0.179224879f,   -0.0932318568f,
                                         0.0510890633f,  -0.0289050061f, 0.0166569706f,
                                         -0.0101776598f, 6.93075452e-3f, -3.31860641e-3f};
  // (e^2s - 1 - 2s) / 2s^2 in s, 0 <= s < 0.347, relative to e^2s - 1. Error 2^-30.5.
  static constexpr float expm1_half_rest[] = {0.99999994f,  0.666669786f,  0.333274633f,
                                              0.133838862f, 0.0422744155f, 0.0171482619f};
  // The normal distribution below x is 1/2 + x P(x^2), |x| <= tail_start. Relative to P.
  static constexpr float tail_start = 0.875f;
  // P. Error 2^-24.4.
  static constexpr float center[] = {0.398942262f, -0.0664900914f, 9.97060165e-3f, -1.17644283e-3f,
                                     9.87939857e-5f};
  // t times the normal distribution above t is e^(-t^2/2) P(u), u = t / (t + b) - middle.
  static constexpr float tail_b = 3.0f;
  static constexpr float tail_middle = 0.375f;
  // gelu(-t) rounds to zero from here on.
  static constexpr float tail_end = 14.5f;
  // P in u for tail_start <= t <= tail_end, relative. Error 2^-24.8.
  static constexpr float tail[] = {0.326806456f, 0.397168666f,  -0.87404269f,
                                   0.943469763f, -0.369535565f, -0.232222244f,
                                   0.196560249f, 0.135659397f,  -0.140411839f};
  static constexpr float gelu_cubic_hi = 0.0713548139f;
  static constexpr float gelu_cubic_lo = 2.39883247e-9f;
  static constexpr float gelu_shift_hi = 22.3638592f;
  static constexpr float gelu_shift_lo = 8.25600637e-7f;
  // Klambauer et al. 2017, arXiv:1706.02515.
  static constexpr float selu_lambda = 1.05070102f;
  static constexpr float selu_lambda_alpha = 1.75809932f;
  // x = n pi / 2 + r, |r| < 0.79: pi / 2 in three parts.
  static constexpr float two_over_pi = 0.636619747f;
  static constexpr float half_pi_1 = 1.57079637f;
  static constexpr float half_pi_2 = -4.37113883e-8f;
  static constexpr float half_pi_3 = -1.71512451e-15f;
  // Up to here the three parts leave an error below that of r; n stands in the low bits of n +
  // magic.
  static constexpr float turn_largest = 131072.0f;
  // (sin r - r) / r^3 in r^2, relative to sin r. Error 2^-27.8.
  static constexpr float sin_rest[] = {-0.166666538f, 8.33212584e-3f, -1.9511483e-4f};
  // (cos r - 1 + r^2 / 2) / r^4 in r^2, relative to cos r. Error 2^-32.6.
  static constexpr float cos_rest[] = {0.0416666456f, -1.38872908e-3f, 2.44288367e-5f};
};

template <>
struct Constants<double> {
  // x + magic - magic is x rounded to an integer, which stands in the low bits of x + magic.
  static constexpr double magic = 6.755399441055744e+15;
  static constexpr int mantissa_bits = 52;
  static constexpr int exponent_bias = 1023;
  // Veltkamp's constant: halves a product for Dekker's.
  static constexpr double splitter = 1.34217729e+8;
  // In one part, and its error, for where n times that hardly shows.
  static constexpr double ln2 = 0.69314718055994529;
  static constexpr double ln2_rest = 2.3190468138462996e-17;
  // ln 2 in two parts; the first has so few bits that n times it is exact.
  static constexpr double log2e = 1.4426950408889634;
  static constexpr double ln2_hi = 0.6931471805601177;
  static constexpr double ln2_lo = -1.7239444525614835e-13;
  // (e^r - 1 - r) / r^2 in r, |r| < 0.347, relative to e^r - 1. Error 2^-55.3.
  static constexpr double exp_rest[] = {
      0.50000000000000056,   0.16666666666666591,   0.041666666666575668, 8.3333333333900327e-3,
      1.388888893184767e-3,  1.9841269718057775e-4, 2.48015049102406e-5,  2.7557408052528197e-6,
      2.7626190436805994e-7, 2.5053744665241107e-8};
  // (log(1 + e) - e) / e^2 in e - 1/2, 0 <= e <= 1, relative to log(1 + e). Error 2^-55.9.
  static constexpr double log1p_rest[] = {
      -0.37813956756734246,   0.17922493693603717,   -0.093230366363669062,  0.051083446105400269,
      -0.028943183164416301,  0.016788742491276917,  -9.9099007670076875e-3, 5.9290115609578935e-3,
      -3.5856647729438531e-3, 2.1876475760108836e-3, -1.3445311848622982e-3, 8.3134304341817347e-4,
      -5.1653902950116366e-4, 3.2346579392101177e-4, -2.0487959170209581e-4, 1.2544978831248229e-4,
      -7.1086586020114871e-5, 5.2743615377553757e-5, -5.1127321975506695e-5, 2.5331245554499611e-5};
  // (e^2s - 1 - 2s) / 2s^2 in s, 0 <= s < 0.347, relative to e^2s - 1. Error 2^-57.7.
  static constexpr double expm1_half_rest[] = {
      1.0000000000000002,    0.66666666666663976,   0.333333333334907,    0.13333333328716759,
      0.044444445229015209,  0.01269840433934233,   3.174661323280092e-3, 7.0519951835787669e-4,
      1.4190151413398679e-4, 2.4127690253223039e-5, 5.8828597417887914e-6};
  // The normal distribution below x is 1/2 + x P(x^2), |x| <= tail_start. Relative to P.
  static constexpr double tail_start = 0.875;
  // P. Error 2^-53.8.
  static constexpr double center[] = {
      0.3989422804014327,    -0.066490380066905344,  9.9735570100291226e-3, -1.187328215369146e-3,
      1.1543468667357395e-4, -9.4446516659831722e-6, 6.6595569036853032e-7, -4.1201436457597506e-8,
      2.2451664746418284e-9, -9.5082965546490697e-11};
  // t times the normal distribution above t is e^(-t^2/2) P(u), u = t / (t + b) - middle.
  static constexpr double tail_b = 4.0;
  static constexpr double tail_middle = 0.375;
  // gelu(-t) rounds to zero from here on.
  static constexpr double tail_end = 38.75;
  // P in u for tail_start <= t <= tail_end, relative. Error 2^-54.7.
  static constexpr double tail[] = {
      0.35047954646505675,    0.30435924903053424,  -0.85474471947087549,  1.4514811249486044,
      -1.608269773823908,     1.0468337675952963,   -0.15253003934144307,  -0.32934222432719829,
      0.16822432421623015,    0.12125772729169441,  -0.090995259100505196, -0.066730516339870316,
      0.041791681241711356,   0.047051652478150935, -0.012070839634347411, -0.031971569325784994,
      -8.0592926945843926e-3, 0.011883673857172424, 0.047853193712341917,  -0.059491234210686306,
      0.020186224514697752};
  static constexpr double gelu_cubic_hi = 0.071354816272600249;
  static constexpr double gelu_cubic_lo = -6.175149918155315e-19;
  static constexpr double gelu_shift_hi = 22.363860002236386;
  static constexpr double gelu_shift_lo = -3.7342623930140568e-17;
  // Klambauer et al. 2017, arXiv:1706.02515.
  static constexpr double selu_lambda = 1.0507009873554805;
  static constexpr double selu_lambda_alpha = 1.7580993408473768;
  // x = n pi / 2 + r, |r| < 0.79: pi / 2 in three parts.
  static constexpr double two_over_pi = 0.63661977236758138;
  static constexpr double half_pi_1 = 1.5707963267948966;
  static constexpr double half_pi_2 = 6.123233995736766e-17;
  static constexpr double half_pi_3 = -1.4973849048591698e-33;
  // Up to here the three parts leave an error below that of r; n stands in the low bits of n +
  // magic.
  static constexpr double turn_largest = 1.073741824e+9;
  // (sin r - r) / r^3 in r^2, relative to sin r. Error 2^-57.3.
  static constexpr double sin_rest[] = {-0.16666666666666627,   8.3333333333214174e-3,
                                        -1.9841269829030107e-4, 2.7557313421609859e-6,
                                        -2.5050715655627187e-8, 1.5894324329582924e-10};
  // (cos r - 1 + r^2 / 2) / r^4 in r^2, relative to cos r. Error 2^-63.3.
  static constexpr double cos_rest[] = {0.041666666666666588,  -1.3888888888872104e-3,
                                        2.4801587288237212e-5, -2.7557313998040874e-7,
                                        2.0875675728545906e-9, -1.1357213117388153e-11};
};

// 2 / pi, 64 bits a word, the first of which stand before the point. The last are those that the
// largest double needs.
inline constexpr std::uint64_t kTwoOverPi[] = {
    0x0000000000000000, 0xa2f9836e4e441529, 0xfc2757d1f534ddc0, 0xdb6295993c439041,
    0xfe5163abdebbc561, 0xb7246e3a424dd2e0, 0x06492eea09d1921c, 0xfe1deb1cb129a73e,
    0xe88235f52ebb4484, 0xe99c7026b45f7e41, 0x3991d639835339f4, 0x9c845f8bbdf9283b,
    0x1ff897ffde05980f, 0xef2f118b5a0a6d1f, 0x6d367ecf27cb09b7, 0x4f463f669e5fea2d,
    0x7527bac7ebe5f17b, 0x3d0739f78a5292ea, 0x6bfb5fb11f8d5d08, 0x56033046fc7b6bab};

}  // namespace laminet::kernels
