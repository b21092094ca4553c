// SPDX-License-Identifier: MIT
//
// What the kernel says over rtnetlink, read as if it lied: whatever the lengths claim, nothing is
// read beyond the end, and what is made of it can be printed.
#include "switch/host/netlink_message.h"

#include <span>

#include "tests/fuzz/input.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace lanyard;
  using lanyard::fuzz::require;
  const std::span<const std::uint8_t> bytes(data, size);
  if (const auto link = parse_link(bytes)) {
    require(link->name.size() <= size && link->alias.size() <= size, "text is from the message");
  }
  if (const auto address = parse_address(bytes)) {
    require(address->length <= (address->address.is_v4() ? 32U : 128U), "a prefix fits");
    require(!address->address.text().empty(), "an address has text");
  }
  if (const auto route = parse_route(bytes)) {
    require(route->length <= (route->destination.is_v4() ? 32U : 128U), "a prefix fits");
  }
  const NetlinkAnswer answer = parse_answer(bytes, size % 2 == 0 ? 0x200 : 0x300);
  require(answer.code >= 0 && answer.code < 4096, "an errno");
  return 0;
}
