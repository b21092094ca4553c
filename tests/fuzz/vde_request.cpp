// SPDX-License-Identifier: MIT
//
// The VDE handshake as any local process may send it: the request is parsed after every byte, as a
// stream may deliver it.
#include <cerrno>
#include <cstring>
#include <string>
#include <vector>

#include "backend/vde_wire.h"
#include "switch/frame/ethernet.h"
#include "tests/fuzz/plain_text.h"

namespace lanyard::fuzz {
namespace {

using State = VdeParse::State;

bool same(const VdeRequest& a, const VdeRequest& b) {
  return a.version == b.version && a.management_type == b.management_type && a.port == b.port &&
         a.abstract == b.abstract && a.data_socket == b.data_socket;
}

void check_request(const VdeRequest& request) {
  require(request.version == 1 || request.version == 3, "only versions 1 and 3 are complete");
  require(!request.management_type || request.port == 0, "type 1 means port 0");
  require(request.version == 3 || request.port.value_or(0) == 0, "version 1 knows only port 0");
  const std::string& name = request.data_socket;
  if (request.abstract) {
    require(name.size() == kVdeSocketPathSize && name[0] == '\0', "an abstract name is whole");
    require(name.find_first_not_of('\0') != std::string::npos, "an abstract name is not nothing");
  } else {
    require(!name.empty() && name.size() <= kVdeSocketPathSize, "a path has 1 to 108 bytes");
    require(name.find('\0') == std::string::npos, "a path ends at its first NUL");
  }
  require(request.description.size() <= kVdeDescriptionMax, "a description is bounded");
  require(request.description.find('\0') == std::string::npos, "a description ends at its NUL");
  const std::uint32_t frame_max = vde_receiver_frame_max(request.description);
  require(frame_max >= kStandardFrameSize && frame_max <= kMaxFrameSize, "a receiver takes frames");
}

// The request as a client would send it.
std::vector<std::uint8_t> encode(const VdeRequest& request) {
  std::vector<std::uint8_t> bytes;
  const auto add = [&](const void* from, std::size_t size) {
    const auto* const first = static_cast<const std::uint8_t*>(from);
    bytes.insert(bytes.end(), first, first + size);
  };
  const std::uint32_t type = request.management_type ? 1U
                             : !request.port         ? 0U
                             : *request.port == 0    ? 0x80000000U
                                                     : std::uint32_t{*request.port} << 8;
  const std::uint16_t family = 1;
  add(&kVdeMagic, sizeof kVdeMagic);
  add(&request.version, sizeof request.version);
  add(&type, sizeof type);
  add(&family, sizeof family);
  add(request.data_socket.data(), request.data_socket.size());
  bytes.resize(122);
  add(request.description.data(), request.description.size());
  return bytes;
}

void check_round_trip(VdeRequest request) {
  request.version = 3;
  const VdeParse again = parse_vde_request(encode(request));
  require(again.state == State::complete && same(again.request, request) &&
              again.request.description == request.description,
          "what is understood can be said again");
}

void check_reply(const VdeRequest& request) {
  const std::string path = request.data_socket.substr(0, kVdeSocketPathSize - 1);
  if (request.abstract) return;
  const auto reply = make_vde_reply(path);
  require(reply[0] == 1 && reply[1] == 0, "the reply is an address of family AF_UNIX");
  const std::string_view rest = as_text(reply).substr(2);
  require(rest.starts_with(path), "the reply holds the path");
  require(rest.find_first_not_of('\0', path.size()) == std::string_view::npos,
          "the rest of the reply is zero");
}

}  // namespace
}  // namespace lanyard::fuzz

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace lanyard;
  using namespace lanyard::fuzz;
  const std::span<const std::uint8_t> bytes(data, size);
  VdeParse before;
  for (std::size_t seen = 0; seen <= std::min<std::size_t>(size, 512); ++seen) {
    // A copy of exactly this size: a read past its end is caught.
    const std::vector<std::uint8_t> so_far(bytes.begin(),
                                           bytes.begin() + static_cast<std::ptrdiff_t>(seen));
    VdeParse now = parse_vde_request(so_far);
    if (before.state == State::refused) {
      require(now.state == State::refused && now.why.text == before.why.text,
              "what is refused stays refused, for the same reason");
    }
    if (before.state == State::complete) {
      require(now.state == State::complete && same(now.request, before.request),
              "what is complete stays so; more bytes only lengthen the description");
      require(now.request.description.starts_with(before.request.description),
              "a description only grows");
    }
    if (now.state == State::complete) {
      require(seen >= 122, "nothing shorter than its header is complete");
      check_request(now.request);
    }
    if (now.state == State::refused) {
      require(now.why.code == EPROTO && is_plain(now.why.text), "a refusal can be printed");
    }
    require(now.state != State::incomplete || seen < 124, "124 bytes are always enough");
    before = std::move(now);
  }
  if (before.state == State::complete) {
    check_round_trip(before.request);
    check_reply(before.request);
  }
  return 0;
}
