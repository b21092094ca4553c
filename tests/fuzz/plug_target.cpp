// SPDX-License-Identifier: MIT
//
// Names of cables as people and scripts write them, and the answer of a switch that may be anybody:
// what is understood is what the text says, and what is not is refused with a sentence.
#include "backend/plug_target.h"

#include <algorithm>
#include <cerrno>
#include <string>

#include "backend/plug_handshake.h"
#include "tests/fuzz/plain_text.h"

namespace lanyard::fuzz {
namespace {

void check_address(const VdeAddress& address, std::string_view text) {
  require(!address.directory.empty() && text.find(address.directory) != std::string_view::npos,
          "a directory is a part of the text");
  require(address.directory.size() <= 90, "a directory leaves room for names in it");
  require(!address.port || *address.port <= 0x7fffff, "a port fits into a request");
  require(!address.mode || *address.mode <= 07777, "a mode is a mode");
  require(!address.port_group.starts_with('.'), "a group's socket is none of ours");
}

void check_reply(std::span<const std::uint8_t> data) {
  std::array<std::uint8_t, kVdeReplySize> reply{};
  std::copy_n(data.begin(), std::min(data.size(), reply.size()), reply.begin());
  const Result<std::string> name = parse_vde_reply(reply);
  if (!name) {
    require(name.error().code == EPROTO && is_plain(name.error().text), "a refusal can be printed");
    return;
  }
  require(!name.value().empty() && name.value().size() <= kVdeSocketPathSize, "a name has bytes");
  require(name.value()[0] == '\0' || name.value().find('\0') == std::string::npos,
          "a path ends at its NUL");
}

}  // namespace
}  // namespace lanyard::fuzz

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace lanyard;
  using namespace lanyard::fuzz;
  const std::string_view text = as_text({data, size});
  const Result<PlugTarget> target = parse_plug_target(text);
  if (!target) {
    require(is_plain(target.error().text), "the reason of a refusal can be printed");
  } else if (target.value().vde) {
    check_address(*target.value().vde, text);
  } else {
    require(target.value().vnl == text, "the library gets all of it");
  }
  check_reply({data, size});
  return 0;
}
