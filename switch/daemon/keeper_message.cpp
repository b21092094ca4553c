// SPDX-License-Identifier: MIT
#include "switch/daemon/keeper_message.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include <array>
#include <cerrno>
#include <cstring>

#include "switch/base/descriptor_passing.h"
#include "switch/base/file_status.h"
#include "switch/base/little_endian.h"
#include "switch/base/one_message.h"
#include "switch/base/text.h"
#include "switch/base/write_bytes.h"

namespace lanyard {
namespace {

constexpr std::uint32_t kMagic = 0x314b594c;  // "LYK1"
constexpr std::size_t kHeadSize = 24;
constexpr std::uint8_t kDrain = 1;
constexpr std::uint8_t kExclusive = 2;
// A sealed state with full tables and queues is far below it.
constexpr off_t kStateMax = off_t{1} << 30;

Error system_error(std::string_view what) {
  return {errno, fmt::format("{}: {}", what, std::strerror(errno))};
}

// Without memory: magic 4, kind 1, flags 1, nothing 2, number 4, value 4, since 8; text follows.
std::array<char, kHeadSize> head_of(const KeeperMessage& message) {
  std::array<char, kHeadSize> head{};
  const auto put = [&](std::size_t at, std::uint64_t value, std::size_t size) {
    for (std::size_t i = 0; i < size; ++i)
      head[at + i] = static_cast<char>(value >> (8 * i) & 0xff);
  };
  put(0, kMagic, 4);
  put(4, static_cast<std::uint8_t>(message.kind), 1);
  put(5, (message.drain ? kDrain : 0U) | (message.exclusive ? kExclusive : 0U), 1);
  put(8, static_cast<std::uint32_t>(message.number), 4);
  put(12, message.value, 4);
  put(16, static_cast<std::uint64_t>(message.since.count()), 8);
  return head;
}

std::string_view text_of(const KeeperMessage& message) {
  return std::string_view(message.text).substr(0, KeeperMessage::kTextMax);
}

}  // namespace

std::string encode_keeper_message(const KeeperMessage& message) {
  const auto head = head_of(message);
  std::string bytes(head.begin(), head.end());
  bytes += text_of(message);
  return bytes;
}

Result<KeeperMessage> decode_keeper_message(std::string_view bytes) {
  if (bytes.size() < kHeadSize || little_endian_at(bytes, 0, 4) != kMagic) {
    return Error{EBADMSG, "what came over the keeper's socket is no message of ours"};
  }
  KeeperMessage message;
  message.kind = static_cast<KeeperMessage::Kind>(little_endian_at(bytes, 4, 1));
  const std::uint64_t flags = little_endian_at(bytes, 5, 1);
  message.drain = (flags & kDrain) != 0;
  message.exclusive = (flags & kExclusive) != 0;
  message.number = static_cast<std::int32_t>(little_endian_at(bytes, 8, 4));
  message.value = static_cast<std::uint32_t>(little_endian_at(bytes, 12, 4));
  message.since = Time(static_cast<std::int64_t>(little_endian_at(bytes, 16, 8)));
  message.text = bytes.substr(kHeadSize, KeeperMessage::kTextMax);
  return message;
}

Result<KeeperLink::Pair> KeeperLink::make_pair() {
  std::array<int, 2> ends{};
  if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends.data()) != 0) {
    return system_error("socketpair");
  }
  return Pair{KeeperLink(UniqueFd(ends[0])), UniqueFd(ends[1])};
}

KeeperLink::Sent KeeperLink::send(const KeeperMessage& message, int descriptor) const {
  auto head = head_of(message);
  const std::string_view text = text_of(message);
  std::array<iovec, 2> content{
      {{head.data(), head.size()}, {const_cast<char*>(text.data()), text.size()}}};
  PassedDescriptor passed;
  msghdr header{};
  header.msg_iov = content.data();
  header.msg_iovlen = content.size();
  passed.attach(header, descriptor);
  for (;;) {
    if (send_message(socket_.get(), header, MSG_DONTWAIT | MSG_NOSIGNAL) >= 0) return Sent::done;
    if (errno == EINTR) continue;
    const bool full = errno == EAGAIN || errno == ENOBUFS || errno == ENOMEM ||
                      errno == ETOOMANYREFS || errno == EMFILE;
    return full ? Sent::no_room : Sent::gone;
  }
}

Result<std::optional<KeeperLink::Received>> KeeperLink::receive() const {
  Result<std::optional<ReceivedMessage>> received =
      receive_with_descriptor(socket_.get(), kHeadSize + KeeperMessage::kTextMax);
  if (!received) return received.error();
  if (!received.value()) return std::optional<Received>();
  Result<KeeperMessage> message = decode_keeper_message(received.value()->bytes);
  if (!message) return message.error();
  return std::optional<Received>(Received{message.take(), std::move(received.value()->descriptor)});
}

Result<UniqueFd> seal_bytes(std::string_view bytes) {
  UniqueFd file(::memfd_create("lanyard-state", MFD_CLOEXEC | MFD_ALLOW_SEALING));
  if (!file) return system_error("memfd_create");
  while (!bytes.empty()) {
    const ssize_t count = write_bytes(file.get(), bytes.data(), bytes.size());
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) return system_error("the state's memory file");
    bytes.remove_prefix(static_cast<std::size_t>(count));
  }
  constexpr int kSeals = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL;
  if (::fcntl(file.get(), F_ADD_SEALS, kSeals) != 0) return system_error("F_ADD_SEALS");
  return file;
}

Result<std::string> read_sealed(int fd) {
  struct stat info {};
  if (!file_status(fd, info)) return system_error("the state's memory file");
  if (info.st_size > kStateMax) return Error{EFBIG, "the state's memory file is too large"};
  std::string bytes(static_cast<std::size_t>(info.st_size), '\0');
  // Where whoever wrote it has left off; nobody else reads it meanwhile.
  if (::lseek(fd, 0, SEEK_SET) != 0) return system_error("the state's memory file");
  std::size_t done = 0;
  while (done < bytes.size()) {
    const ssize_t count = ::read(fd, bytes.data() + done, bytes.size() - done);
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) return system_error("the state's memory file");
    done += static_cast<std::size_t>(count);
  }
  return bytes;
}

}  // namespace lanyard
