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

// While it lives, the calling thread takes subnormal inputs as zero and flushes subnormal results
// to it, where the CPU can do so by the rule of VDPBF16PS (x86, which looks at results once they
// are rounded; Arm looks before). Within a DefaultFloatMode. No arithmetic that is to be in this
// mode may be in the function that makes it: compilers move that past the change.
class FlushingFloatMode {
 public:
  FlushingFloatMode(const FlushingFloatMode&) = delete;
  FlushingFloatMode& operator=(const FlushingFloatMode&) = delete;
#if defined(__x86_64__)
  FlushingFloatMode() : before_(__builtin_ia32_stmxcsr()) {
    __builtin_ia32_ldmxcsr(before_ | kFlush);
  }
  ~FlushingFloatMode() { __builtin_ia32_ldmxcsr(before_); }

 private:
  static constexpr std::uint32_t kFlush = 0x8040;  // the bits 15 and 6 of above
  const std::uint32_t before_;
#else
  FlushingFloatMode() {}
  ~FlushingFloatMode() {}
#endif
};

}  // namespace laminet
