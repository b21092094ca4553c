// SPDX-License-Identifier: MIT
#include "switch/daemon/spawner_link.h"

#include <sys/socket.h>

#include <array>
#include <cerrno>
#include <cstring>

#include "switch/base/descriptor_passing.h"
#include "switch/base/little_endian.h"
#include "switch/base/one_message.h"
#include "switch/base/text.h"

namespace lanyard {
namespace {

constexpr std::size_t kIdAt = 8;  // in a request
// An answer's text is short, and a head goes before it.
constexpr std::size_t kReceivedMax = SpawnerMessage::kTextMax + 64;

Error system_error(std::string_view what) {
  return {errno, fmt::format("{}: {}", what, std::strerror(errno))};
}

}  // namespace

Result<SpawnerLink::Pair> SpawnerLink::make_pair() {
  std::array<int, 2> ends{};
  if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends.data()) != 0) {
    return system_error("socketpair");
  }
  return Pair{SpawnerLink(UniqueFd(ends[0])), UniqueFd(ends[1])};
}

Result<void> SpawnerLink::send_bytes(std::string_view bytes, int descriptor) const {
  iovec content{const_cast<char*>(bytes.data()), bytes.size()};
  PassedDescriptor passed;
  msghdr header{};
  header.msg_iov = &content;
  header.msg_iovlen = 1;
  passed.attach(header, descriptor);
  while (send_message(socket_.get(), header, MSG_NOSIGNAL) < 0) {
    if (errno != EINTR) return system_error("sendmsg");
  }
  return {};
}

// ---- the daemon's ----

Result<void> SpawnerLink::ask(const SpawnerRequest& request) const {
  return send_bytes(encode_spawner_request(request), -1);
}

Result<std::optional<SpawnerLink::Received>> SpawnerLink::receive() const {
  Result<std::optional<ReceivedMessage>> bytes =
      receive_with_descriptor(socket_.get(), kReceivedMax);
  if (!bytes) return bytes.error();
  if (!bytes.value()) return std::optional<Received>();
  Result<SpawnerMessage> message = decode_spawner_message(bytes.value()->bytes);
  if (!message) return message.error();
  return std::optional<Received>(Received{message.take(), std::move(bytes.value()->descriptor)});
}

// ---- the spawner's ----

Result<std::optional<SpawnerLink::Asked>> SpawnerLink::next() const {
  const Result<std::optional<ReceivedMessage>> bytes =
      receive_with_descriptor(socket_.get(), kSpawnerRequestSize + 1);
  if (!bytes) return bytes.error();
  if (!bytes.value()) return std::optional<Asked>();
  const std::string& text = bytes.value()->bytes;
  // That of one that is refused, too, for its answer.
  const std::uint64_t id = text.size() < kIdAt + 8 ? 0 : little_endian_at(text, kIdAt, 8);
  return std::optional<Asked>(Asked{id, decode_spawner_request(text)});
}

std::optional<std::uint64_t> SpawnerLink::next_id() const {
  std::array<char, kIdAt + 8> head{};
  const ssize_t size = ::recv(socket_.get(), head.data(), head.size(), MSG_PEEK | MSG_DONTWAIT);
  if (size != static_cast<ssize_t>(head.size())) return std::nullopt;
  return little_endian_at({head.data(), head.size()}, kIdAt, 8);
}

Result<void> SpawnerLink::refuse(std::uint64_t id) {
  char nothing = 0;
  if (next_id() == id) (void)::recv(socket_.get(), &nothing, sizeof nothing, MSG_DONTWAIT);
  readdress_spawner_message(refusal_, id);
  return send_bytes(refusal_, -1);
}

Result<void> SpawnerLink::answer(std::uint64_t id, const Result<SpawnerAnswer>& answer) const {
  SpawnerMessage message;
  message.id = id;
  if (!answer) {
    message.code = answer.error().code == 0 ? EIO : answer.error().code;
    message.text = answer.error().text;
    return send(message);
  }
  const SpawnerAnswer& given = answer.value();
  message.value = given.value;
  message.text = given.text;
  std::size_t left = given.descriptors.size();
  if (left == 0) return send(message);
  for (const UniqueFd& descriptor : given.descriptors) {
    message.following = static_cast<std::uint8_t>(--left);
    if (Result<void> sent = send(message, descriptor.get()); !sent) return sent;
  }
  return {};
}

Result<void> SpawnerLink::send(const SpawnerMessage& message, int descriptor) const {
  return send_bytes(encode_spawner_message(message), descriptor);
}

}  // namespace lanyard
