// SPDX-License-Identifier: MIT
//
// Random choices that can be had again: the seed is new in every run, is printed when something
// fails, and is taken from LANYARD_SEED when that is set.
#pragma once

#include <cstdint>
#include <cstdlib>
#include <random>
#include <span>
#include <string>

namespace lanyard::testing {

inline std::uint64_t environment_number(const char* name, std::uint64_t otherwise) {
  const char* const text = std::getenv(name);
  return text != nullptr && *text != '\0' ? std::strtoull(text, nullptr, 0) : otherwise;
}

class Random {
 public:
  Random() : Random(environment_number("LANYARD_SEED", std::random_device{}())) {}
  explicit Random(std::uint64_t seed) : seed_(seed), engine_(seed) {}

  // What to say when a test fails.
  std::string how_to_repeat() const { return "LANYARD_SEED=" + std::to_string(seed_); }

  std::uint64_t number() { return engine_(); }
  // 0 to limit - 1. A little uneven, which no test minds.
  std::uint64_t below(std::uint64_t limit) { return engine_() % limit; }
  bool one_in(std::uint64_t n) { return below(n) == 0; }
  template <typename Items>
  auto& of(Items& items) {
    return items[below(std::size(items))];
  }

 private:
  std::uint64_t seed_;
  std::mt19937_64 engine_;
};

}  // namespace lanyard::testing
