// SPDX-License-Identifier: MIT
//
// Numbers that nobody can guess, from /dev/urandom (random(4)), which is opened while a process may
// still open it; afterwards it takes a read(2). Any thread.
#pragma once

#include <cstdint>

#include "switch/base/fd.h"
#include "switch/base/result.h"

namespace lanyard {

class RandomNumbers {
 public:
  static Result<RandomNumbers> open();

  std::uint64_t next() const;

 private:
  explicit RandomNumbers(UniqueFd source) : source_(std::move(source)) {}

  UniqueFd source_;
};

}  // namespace lanyard
