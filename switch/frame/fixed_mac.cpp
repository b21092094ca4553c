// SPDX-License-Identifier: MIT
#include "switch/frame/fixed_mac.h"

#include <fcntl.h>
#include <sys/socket.h>

#include <array>
#include <cstdint>
#include <string>

#include "switch/base/fd.h"

namespace lanyard {
namespace {

// A number that no other namespace of this boot has (SO_NETNS_COOKIE, socket(7)); 1 is the first,
// and 0 where the kernel does not tell.
std::uint64_t network_namespace() {
  const UniqueFd socket(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  std::uint64_t cookie = 0;
  socklen_t size = sizeof cookie;
  if (!socket) return 0;
  if (::getsockopt(socket.get(), SOL_SOCKET, SO_NETNS_COOKIE, &cookie, &size) != 0) return 0;
  return cookie;
}

}  // namespace

// FNV-1a, 64 bits.
MacAddress fixed_mac(const std::string& interface_name) {
  std::string seed = interface_name;
  const UniqueFd file(::open("/etc/machine-id", O_RDONLY | O_CLOEXEC));
  std::array<char, 64> id{};
  const ssize_t count = file ? ::read(file.get(), id.data(), id.size()) : -1;
  if (count > 0) seed.append(id.data(), static_cast<std::size_t>(count));
  if (const std::uint64_t space = network_namespace(); space > 1) seed += std::to_string(space);
  std::uint64_t hash = 0xcbf29ce484222325U;
  for (const char c : seed) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3U;
  constexpr std::uint64_t kPrefix = 0x020000000000;
  return MacAddress::from_number(kPrefix | (hash & 0xffffffffff));
}

}  // namespace lanyard
