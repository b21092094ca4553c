// SPDX-License-Identifier: MIT
#include "backend/gateway/udp_socket.h"

#include <linux/errqueue.h>
#include <netinet/udp.h>
#include <sys/mman.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "switch/base/one_message.h"
#include "switch/base/text.h"

namespace lanyard {
namespace {

// An odd number of pages, so that datagrams do not all start in the same cache sets.
constexpr std::size_t kStride = std::size_t{17} * 4096;
static_assert(kStride >= UdpReceiver::kHeadroom + UdpReceiver::kPayloadMax);
constexpr std::size_t kMemory = UdpReceiver::kBatch * kStride;
constexpr int kReceiveBuffer = 1 << 20;  // the kernel cuts it to net.core.rmem_max

void set_option(int fd, int level, int option, int value) {
  // None of these is needed for datagrams to pass.
  (void)::setsockopt(fd, level, option, &value, sizeof value);
}

template <typename T>
T value_of(const cmsghdr& message) {
  T value{};
  std::memcpy(&value, CMSG_DATA(&message), sizeof value);
  return value;
}

template <typename T>
bool is(const cmsghdr& message, int level, int type) {
  return message.cmsg_level == level && message.cmsg_type == type &&
         message.cmsg_len >= CMSG_LEN(sizeof(T));
}

// Appends to the ancillary data of a header whose buffer is long enough.
template <typename T>
void put(msghdr& header, int level, int type, const T& value) {
  auto* const at = static_cast<std::uint8_t*>(header.msg_control) + header.msg_controllen;
  cmsghdr message{};
  message.cmsg_level = level;
  message.cmsg_type = type;
  message.cmsg_len = CMSG_LEN(sizeof value);
  std::memcpy(at, &message, sizeof message);
  std::memcpy(at + CMSG_LEN(0), &value, sizeof value);
  header.msg_controllen += CMSG_SPACE(sizeof value);
}

}  // namespace

Result<UniqueFd> open_udp_socket(bool v6) {
  UniqueFd fd(::socket(v6 ? AF_INET6 : AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!fd) return Error{errno, fmt::format("socket: {}", std::strerror(errno))};
  if (v6) {
    set_option(fd.get(), IPPROTO_IPV6, IPV6_RECVERR, 1);
  } else {
    set_option(fd.get(), IPPROTO_IP, IP_RECVERR, 1);
  }
  return fd;
}

void ask_for_local_address(int fd, bool v6) {
  if (v6) {
    set_option(fd, IPPROTO_IPV6, IPV6_RECVPKTINFO, 1);
  } else {
    set_option(fd, IPPROTO_IP, IP_PKTINFO, 1);
  }
}

void expect_bursts(int fd) {
  set_option(fd, IPPROTO_UDP, UDP_GRO, 1);
  set_option(fd, SOL_SOCKET, SO_RCVBUF, kReceiveBuffer);
}

void set_fragmentation(int fd, bool v6, bool allowed) {
  if (v6) {
    set_option(fd, IPPROTO_IPV6, IPV6_MTU_DISCOVER,
               allowed ? IPV6_PMTUDISC_WANT : IPV6_PMTUDISC_DO);
  } else {
    set_option(fd, IPPROTO_IP, IP_MTU_DISCOVER, allowed ? IP_PMTUDISC_WANT : IP_PMTUDISC_DO);
  }
}

void clear_error(int fd) {
  int code = 0;
  socklen_t size = sizeof code;
  (void)::getsockopt(fd, SOL_SOCKET, SO_ERROR, &code, &size);
}

void UdpSender::prepare(std::size_t at, bool v6, const Message& message) {
  msghdr& header = headers_[at].msg_hdr;
  header.msg_name = message.to->get();
  header.msg_namelen = message.to->size();
  header.msg_iov = message.parts.data();
  header.msg_iovlen = message.parts.size();
  header.msg_control = controls_[at].bytes.data();
  header.msg_controllen = 0;
  if (v6) {
    put(header, IPPROTO_IPV6, IPV6_HOPLIMIT, int{message.hop_limit});
  } else {
    put(header, IPPROTO_IP, IP_TTL, int{message.hop_limit});
  }
  if (message.segment_size != 0) {
    put(header, IPPROTO_UDP, UDP_SEGMENT, static_cast<std::uint16_t>(message.segment_size));
  }
  if (message.from == nullptr) return;
  const AddressKey& from = *message.from;
  if (v6) {
    in6_pktinfo info{};
    std::copy(from.begin(), from.end(), info.ipi6_addr.s6_addr);
    put(header, IPPROTO_IPV6, IPV6_PKTINFO, info);
  } else {
    in_pktinfo info{};
    std::memcpy(&info.ipi_spec_dst, from.data() + from.size() - sizeof info.ipi_spec_dst,
                sizeof info.ipi_spec_dst);
    put(header, IPPROTO_IP, IP_PKTINFO, info);
  }
}

std::size_t UdpSender::send(int fd, bool v6, std::span<const Message> messages) {
  const std::size_t count = std::min(messages.size(), kBatch);
  for (std::size_t i = 0; i < count; ++i) prepare(i, v6, messages[i]);
  const int sent =
      ::sendmmsg(fd, headers_.data(), static_cast<unsigned>(count), MSG_DONTWAIT | MSG_NOSIGNAL);
  return sent > 0 ? static_cast<std::size_t>(sent) : 0;
}

Result<std::unique_ptr<UdpReceiver>> UdpReceiver::create() {
  std::unique_ptr<UdpReceiver> made(new UdpReceiver);
  void* const memory = ::mmap(nullptr, kMemory, PROT_READ | PROT_WRITE,
                              MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (memory == MAP_FAILED) return Error{ENOMEM, "no memory for the buffers of datagrams"};
  made->memory_ = memory;
  ::madvise(memory, kMemory, MADV_NOHUGEPAGE);
  return made;
}

UdpReceiver::~UdpReceiver() {
  if (memory_ != nullptr) ::munmap(memory_, kMemory);
}

void UdpReceiver::prepare(std::size_t at) {
  Received& received = received_[at];
  received.buffer = static_cast<std::uint8_t*>(memory_) + at * kStride;
  parts_[at] = {received.buffer + kHeadroom, kPayloadMax};
  msghdr& header = headers_[at].msg_hdr;
  header = {};
  header.msg_name = received.from.get();
  header.msg_namelen = SocketName::capacity();
  header.msg_iov = &parts_[at];
  header.msg_iovlen = 1;
  header.msg_control = controls_[at].bytes.data();
  header.msg_controllen = controls_[at].bytes.size();
}

std::span<UdpReceiver::Received> UdpReceiver::receive(int fd) {
  for (std::size_t i = 0; i < used_; ++i) prepare(i);
  const int count = ::recvmmsg(fd, headers_.data(), kBatch, MSG_DONTWAIT, nullptr);
  used_ = count > 0 ? static_cast<std::size_t>(count) : 0;
  for (std::size_t i = 0; i < used_; ++i) {
    Received& received = received_[i];
    received.size = headers_[i].msg_len;
    received.segment_size = 0;
    received.to.reset();
    read_control(headers_[i].msg_hdr, received);
  }
  return std::span(received_).first(used_);
}

void UdpReceiver::read_control(msghdr& header, Received& into) {
  for (cmsghdr* c = CMSG_FIRSTHDR(&header); c != nullptr; c = CMSG_NXTHDR(&header, c)) {
    if (is<int>(*c, IPPROTO_UDP, UDP_GRO)) {
      const int size = value_of<int>(*c);
      // With one datagram there is nothing to cut.
      if (size > 0 && static_cast<std::size_t>(size) < into.size) {
        into.segment_size = static_cast<std::size_t>(size);
      }
    } else if (is<in_pktinfo>(*c, IPPROTO_IP, IP_PKTINFO)) {
      const auto info = value_of<in_pktinfo>(*c);
      into.to = address_key(Ipv4Address::from_number(ntohl(info.ipi_spec_dst.s_addr)));
    } else if (is<in6_pktinfo>(*c, IPPROTO_IPV6, IPV6_PKTINFO)) {
      const auto info = value_of<in6_pktinfo>(*c);
      into.to.emplace();
      std::copy_n(info.ipi6_addr.s6_addr, into.to->size(), into.to->begin());
    }
  }
}

std::optional<UdpError> next_udp_error(int fd, bool v6, std::span<std::uint8_t> buffer) {
  // What ip(7) puts behind the error: the name of the offender.
  struct Report {
    sock_extended_err error;
    sockaddr_in6 offender;
  };
  UdpError error;
  iovec part{buffer.data(), buffer.size()};
  alignas(cmsghdr) std::array<std::uint8_t, 512> control;
  msghdr header{};
  header.msg_name = error.target.get();
  header.msg_namelen = SocketName::capacity();
  header.msg_iov = &part;
  header.msg_iovlen = 1;
  header.msg_control = control.data();
  header.msg_controllen = control.size();
  const ssize_t size = receive_message(fd, header, MSG_DONTWAIT | MSG_ERRQUEUE);
  if (size < 0) return std::nullopt;
  error.payload = buffer.first(static_cast<std::size_t>(size));
  for (cmsghdr* c = CMSG_FIRSTHDR(&header); c != nullptr; c = CMSG_NXTHDR(&header, c)) {
    if (!is<sock_extended_err>(*c, v6 ? int{IPPROTO_IPV6} : int{IPPROTO_IP},
                               v6 ? int{IPV6_RECVERR} : int{IP_RECVERR})) {
      continue;
    }
    Report report{};
    std::memcpy(&report, CMSG_DATA(c), std::min(sizeof report, c->cmsg_len - CMSG_LEN(0)));
    const std::uint8_t icmp = v6 ? SO_EE_ORIGIN_ICMP6 : SO_EE_ORIGIN_ICMP;
    error.by_router = report.error.ee_origin == icmp;
    error.code = static_cast<int>(report.error.ee_errno);
    error.icmp_type = report.error.ee_type;
    error.icmp_code = report.error.ee_code;
    error.info = report.error.ee_info;
    if (error.by_router && report.offender.sin6_family == (v6 ? AF_INET6 : AF_INET)) {
      error.offender.emplace();
      std::memcpy(error.offender->get(), &report.offender, error.offender->capacity());
    }
  }
  return error;
}

}  // namespace lanyard
