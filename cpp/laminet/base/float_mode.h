// The floating-point mode of a thread: rounding, and what becomes of subnormal numbers.
#pragma once

#include <cstdint>

namespace laminet {

// While it lives, the calling thread rounds to nearest and keeps subnormal numbers. A program may
// have changed that for its own threads (a library built with -ffast-math does so when it is
// loaded), and then the same row would have other bits on a thread of the team.
class DefaultFloatMode {
 public:
  DefaultFloatMode() : before_(read()) {
    if ((before_ & kControl) != kDefault) write((before_ & ~kControl) | kDefault);
  }
  ~DefaultFloatMode() {
    if ((before_ & kControl) != kDefault) write(before_);
  }
  DefaultFloatMode(const DefaultFloatMode&) = delete;
  DefaultFloatMode& operator=(const DefaultFloatMode&) = delete;

 private:
#if defined(__x86_64__)
  // MXCSR: flush to zero (bit 15), rounding (13, 14), exception masks (7 to 12), denormals are
  // zero (6). Intel SDM volume 1, section 10.2.3.
  using Register = std::uint32_t;
  static constexpr Register kControl = 0xFFC0;
  static constexpr Register kDefault = 0x1F80;
  static Register read() { return __builtin_ia32_stmxcsr(); }
  static void write(Register value) { __builtin_ia32_ldmxcsr(value); }
#elif defined(__aarch64__)
  // FPCR: default NaN (bit 25), flush to zero (24), rounding (22, 23), exception traps (8 to 15).
  // Arm Architecture Reference Manual, section C5.2.8.
  using Register = std::uint64_t;
  static constexpr Register kControl = 0x3C0FF00;
  static constexpr Register kDefault = 0;
  static Register read() {
    Register value;
    __asm__ __volatile__("mrs %0, fpcr" : "=r"(value));
    return value;
  }
  static void write(Register value) { __asm__ __volatile__("msr fpcr, %0" : : "r"(value)); }
#else
  using Register = std::uint32_t;
  static constexpr Register kControl = 0;
  static constexpr Register kDefault = 0;
  static Register read() { return 0; }
  static void write(Register) {}
#endif

  const Register before_;
};

}  // namespace laminet
