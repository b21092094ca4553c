// SPDX-License-Identifier: MIT
//
// Whether the next look at a descriptor will find one frame or many. Asking for many and finding
// one costs an extra look inside the kernel (a third of a receive), which a ping-pong pays on every
// hop; asking for one while many wait costs a turn of the loop each. So an endpoint that has found
// single frames several times in a row asks for one, and now and then for many again. A value; any
// thread.
#pragma once

#include <cstddef>
#include <cstdint>

namespace lanyard {

class BurstGuess {
 public:
  bool expects_one() const { return singles_ >= kSure && singles_ % kProbe != 0; }

  // How many the look just made found.
  void found(std::size_t frames) {
    if (frames > 1) {
      singles_ = 0;
    } else if (frames == 1) {
      ++singles_;
    }
  }

 private:
  static constexpr std::uint32_t kSure = 4;
  static constexpr std::uint32_t kProbe = 8;

  std::uint32_t singles_ = 0;
};

}  // namespace lanyard
