// SPDX-License-Identifier: MIT
#include "switch/frame/fixed_mac.h"

#include <fcntl.h>

#include <array>
#include <cstdint>

#include "switch/base/fd.h"

namespace lanyard {

// FNV-1a, 64 bits.
MacAddress fixed_mac(const std::string& interface_name) {
  std::string seed = interface_name;
  const UniqueFd file(::open("/etc/machine-id", O_RDONLY | O_CLOEXEC));
  std::array<char, 64> id{};
  const ssize_t count = file ? ::read(file.get(), id.data(), id.size()) : -1;
  if (count > 0) seed.append(id.data(), static_cast<std::size_t>(count));
  std::uint64_t hash = 0xcbf29ce484222325U;
  for (const char c : seed) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3U;
  constexpr std::uint64_t kPrefix = 0x020000000000;
  return MacAddress::from_number(kPrefix | (hash & 0xffffffffff));
}

}  // namespace lanyard
