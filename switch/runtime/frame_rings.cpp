// SPDX-License-Identifier: MIT
#include "switch/runtime/frame_rings.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>

#include "switch/base/descriptor_passing.h"
#include "switch/base/file_status.h"
#include "switch/base/one_message.h"
#include "switch/base/text.h"
#include "switch/base/write_bytes.h"

namespace lanyard {
namespace {

constexpr std::size_t kPage = 4096;
constexpr std::size_t kChunk = std::size_t{64} << 10;
constexpr std::size_t kSizeMax = std::size_t{64} << 20;
constexpr int kSeals = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL;

// What stands in an offer, in the order of this machine's bytes: both sides are on it.
struct OfferedPair {
  std::array<char, 8> mark{'L', 'Y', 'R', 'I', 'N', 'G', 'S', '1'};
  std::uint64_t to_gateway = 0;
  std::uint64_t to_switch = 0;
};

Error system_error(std::string_view what) {
  return {errno, fmt::format("frames to a gateway: {}: {}", what, std::strerror(errno))};
}

bool is_size(std::uint64_t size) {
  return size != 0 && size % kPage == 0 && size <= kSizeMax;
}

// Memory for the next bytes of the file; false when there is none.
bool append_zeros(int file, std::size_t size) {
  static constexpr std::array<std::uint8_t, kChunk> kZeros{};
  while (size != 0) {
    const ssize_t count = write_bytes(file, kZeros.data(), std::min(size, kZeros.size()));
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) return false;
    size -= static_cast<std::size_t>(count);
  }
  return true;
}

}  // namespace

struct FrameRings::Control {
  FrameRingControl to_gateway;
  FrameRingControl to_switch;
  std::atomic<std::uint32_t> left;
};

// In the file: the counters, what the switch reads, what it writes.
Result<std::unique_ptr<FrameRings>> FrameRings::make() {
  static_assert(sizeof(Control) <= kPage && kToGateway % kPage == 0 && kToSwitch % kPage == 0);
  const Sizes sizes;
  UniqueFd file(::memfd_create("lanyard-frames", MFD_CLOEXEC | MFD_ALLOW_SEALING));
  if (!file) return system_error("memfd_create");
  // Its length first, by the last byte, for it is mapped and sealed as a whole.
  const auto end = static_cast<off_t>(kPage + sizes.to_switch + sizes.to_gateway);
  if (::lseek(file.get(), end - 1, SEEK_SET) < 0 || !append_zeros(file.get(), 1) ||
      ::lseek(file.get(), 0, SEEK_SET) != 0) {
    return system_error("a memory file");
  }
  if (::fcntl(file.get(), F_ADD_SEALS, kSeals) != 0) return system_error("F_ADD_SEALS");
  std::unique_ptr<FrameRings> rings(new FrameRings(std::move(file), sizes));
  if (!rings->provide(kPage + sizes.to_switch)) return system_error("no memory");
  if (Result<void> mapped = rings->map(); !mapped) return mapped.error();
  FrameRings* const at = rings.get();
  at->control_->to_gateway.reader_sleeps = at->control_->to_switch.reader_sleeps = 1;
  at->incoming_ = FrameRingReader({&at->control_->to_switch, at->to_switch_, sizes.to_switch});
  at->outgoing_view_ = {&at->control_->to_gateway, at->to_gateway_, sizes.to_gateway};
  at->outgoing_ = FrameRingWriter(at->outgoing_view_, [at](std::size_t bytes) {
    return at->provide(kPage + at->sizes_.to_switch + std::min(bytes, at->sizes_.to_gateway));
  });
  return rings;
}

bool FrameRings::provide(std::size_t until) {
  if (until <= provided_) return true;
  const std::size_t end = kPage + sizes_.to_switch + sizes_.to_gateway;
  const std::size_t size =
      std::min((until - provided_ + kChunk - 1) / kChunk * kChunk, end - provided_);
  if (!append_zeros(file_.get(), size)) {
    // Where it was, whatever has been written.
    ::lseek(file_.get(), static_cast<off_t>(provided_), SEEK_SET);
    return false;
  }
  provided_ += size;
  return true;
}

Result<void> FrameRings::offer(int socket) const {
  OfferedPair offered;
  offered.to_gateway = sizes_.to_gateway;
  offered.to_switch = sizes_.to_switch;
  iovec content{&offered, sizeof offered};
  msghdr header{};
  header.msg_iov = &content;
  header.msg_iovlen = 1;
  PassedDescriptor passed;
  passed.attach(header, file_.get());
  while (send_message(socket, header, MSG_DONTWAIT | MSG_NOSIGNAL) < 0) {
    if (errno == EPIPE || errno == ECONNRESET) break;
    if (errno != EINTR) return system_error("offering memory");
  }
  return {};
}

Result<std::unique_ptr<FrameRings>> FrameRings::accept(std::string_view offer, UniqueFd file) {
  OfferedPair offered;
  const OfferedPair ours;
  if (offer.size() != sizeof offered) return Error{EBADMSG, "no offer of rings"};
  std::memcpy(&offered, offer.data(), sizeof offered);
  struct stat status {};
  if (offered.mark != ours.mark || !is_size(offered.to_gateway) || !is_size(offered.to_switch) ||
      !file_status(file.get(), status) ||
      static_cast<std::uint64_t>(status.st_size) !=
          kPage + offered.to_gateway + offered.to_switch) {
    return Error{EBADMSG, "no offer of rings"};
  }
  std::unique_ptr<FrameRings> rings(
      new FrameRings(std::move(file), Sizes{offered.to_gateway, offered.to_switch}));
  if (Result<void> mapped = rings->map(); !mapped) return mapped.error();
  FrameRings* const at = rings.get();
  at->incoming_ =
      FrameRingReader({&at->control_->to_gateway, at->to_gateway_, at->sizes_.to_gateway});
  at->outgoing_view_ = {&at->control_->to_switch, at->to_switch_, at->sizes_.to_switch};
  at->outgoing_ = FrameRingWriter(at->outgoing_view_);
  return rings;
}

Result<void> FrameRings::map() {
  void* const control = ::mmap(nullptr, kPage, PROT_READ | PROT_WRITE, MAP_SHARED, file_.get(), 0);
  if (control == MAP_FAILED) return system_error("mmap");
  control_ = static_cast<Control*>(control);
  Result<std::uint8_t*> to_switch = map_twice(kPage, sizes_.to_switch);
  if (!to_switch) return to_switch.error();
  to_switch_ = to_switch.value();
  Result<std::uint8_t*> to_gateway = map_twice(kPage + sizes_.to_switch, sizes_.to_gateway);
  if (!to_gateway) return to_gateway.error();
  to_gateway_ = to_gateway.value();
  return {};
}

Result<std::uint8_t*> FrameRings::map_twice(std::size_t offset, std::size_t size) {
  void* const place =
      ::mmap(nullptr, 2 * size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (place == MAP_FAILED) return system_error("mmap");
  auto* const bytes = static_cast<std::uint8_t*>(place);
  for (std::uint8_t* const half : {bytes, bytes + size}) {
    if (::mmap(half, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, file_.get(),
               static_cast<off_t>(offset)) == MAP_FAILED) {
      const Error error = system_error("mmap");
      ::munmap(place, 2 * size);
      return error;
    }
  }
  return bytes;
}

FrameRings::~FrameRings() {
  if (to_gateway_ != nullptr) ::munmap(to_gateway_, 2 * sizes_.to_gateway);
  if (to_switch_ != nullptr) ::munmap(to_switch_, 2 * sizes_.to_switch);
  if (control_ != nullptr) ::munmap(control_, kPage);
}

void FrameRings::leave() {
  control_->left.store(1);
}

bool FrameRings::is_left() const {
  return control_->left.load(std::memory_order_acquire) != 0;
}

void ring_bell(int socket) {
  const std::uint8_t bell = 0;
  ::send(socket, &bell, 1, MSG_DONTWAIT | MSG_NOSIGNAL);
}

}  // namespace lanyard
