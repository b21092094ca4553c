// SPDX-License-Identifier: MIT
#include "switch/base/random_numbers.h"

#include <fcntl.h>
#include <sys/random.h>

#include <cerrno>
#include <cstring>

#include "switch/base/text.h"

namespace lanyard {

Result<RandomNumbers> RandomNumbers::open() {
  // Unlike a read, this waits until the kernel has something to make them from.
  std::uint64_t ignored = 0;
  (void)!::getrandom(&ignored, sizeof ignored, 0);
  UniqueFd source(::open("/dev/urandom", O_RDONLY | O_CLOEXEC));
  if (!source) return Error{errno, fmt::format("/dev/urandom: {}", std::strerror(errno))};
  return RandomNumbers(std::move(source));
}

std::uint64_t RandomNumbers::next() const {
  std::uint64_t number = 0;
  while (::read(source_.get(), &number, sizeof number) != sizeof number) {
  }
  return number;
}

}  // namespace lanyard
