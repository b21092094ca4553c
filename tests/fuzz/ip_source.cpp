// SPDX-License-Identifier: MIT
//
// The parser of plugin iplog, which reads what guests send.
#include <cstdint>

#include "plugins/iplog.cpp"  // NOLINT: a plugin is one file
#include "tests/fuzz/input.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using lanyard::fuzz::require;
  // A copy of the exact size, so that a byte read beyond it is found.
  const std::vector<std::uint8_t> frame(data, data + size);
  const std::optional<Seen> seen = read_source(frame.data(), frame.size());
  if (!seen) return 0;
  require(size >= 14 + 20, "an address needs a header");
  require(seen->vlan < 4096, "a VLAN has twelve bits");
  const std::optional<IpAddress> again = parse_address(text_of(seen->address));
  require(again && *again == seen->address, "an address is printed as it is read");
  const Range all{{{}, seen->address.six}, 0};
  require(all.holds(seen->address), "everything is in the range of no bits");
  return 0;
}
