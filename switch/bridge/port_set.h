// SPDX-License-Identifier: MIT
//
// A set of port numbers as a bitmap. A value; any thread.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace lanyard {

using PortId = std::uint16_t;

constexpr PortId kPortMax = 65534;
constexpr PortId kPortNone = 65535;

class PortSet {
 public:
  bool has(PortId id) const {
    const std::size_t word = id / 64U;
    return word < words_.size() && (words_[word] >> (id % 64U) & 1) != 0;
  }
  void add(PortId id) {
    const std::size_t word = id / 64U;
    if (word >= words_.size()) words_.resize(word + 1);
    words_[word] |= std::uint64_t{1} << (id % 64U);
  }
  void remove(PortId id) {
    const std::size_t word = id / 64U;
    if (word < words_.size()) words_[word] &= ~(std::uint64_t{1} << (id % 64U));
  }
  bool empty() const {
    for (const std::uint64_t word : words_) {
      if (word != 0) return false;
    }
    return true;
  }
  template <typename Function>
  void for_each(Function&& function) const {  // in ascending order
    for (std::size_t word = 0; word < words_.size(); ++word) {
      for (std::uint64_t bits = words_[word]; bits != 0; bits &= bits - 1) {
        function(static_cast<PortId>(word * 64 + static_cast<std::size_t>(std::countr_zero(bits))));
      }
    }
  }

 private:
  std::vector<std::uint64_t> words_;
};

}  // namespace lanyard
