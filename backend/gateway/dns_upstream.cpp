// SPDX-License-Identifier: MIT
#include "backend/gateway/dns_upstream.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <array>
#include <cerrno>
#include <cstring>

#include "switch/base/text.h"
#include "switch/host/netlink.h"

namespace lanyard {
namespace {

constexpr std::size_t kLengthSize = 2;  // before each message by TCP (RFC 1035 4.2.2)
constexpr int kDatagramsAtOnce = 16;

Error error_now(const char* what) {
  const int code = errno;
  return {code, fmt::format("{}: {}", what, std::strerror(code))};
}

struct SocketAddress {
  sockaddr_storage storage{};
  socklen_t size = 0;
};

std::uint32_t interface_index(const std::string& zone) {
  if (zone.empty()) return 0;
  if (const auto number = parse_integer(zone)) return static_cast<std::uint32_t>(*number);
  // Not by if_nametoindex(3), which asks a socket that the sandbox refuses.
  Result<Netlink> kernel = Netlink::open();
  const Result<LinkInfo> link = kernel ? kernel.value().link(zone) : kernel.error();
  return link ? static_cast<std::uint32_t>(link.value().index) : 0;
}

SocketAddress socket_address(const ResolverAddress& resolver) {
  SocketAddress address;
  if (resolver.address.is_v4()) {
    sockaddr_in v4{};
    v4.sin_family = AF_INET;
    v4.sin_port = htons(resolver.port);
    v4.sin_addr.s_addr = htonl(resolver.address.v4().number());
    std::memcpy(&address.storage, &v4, sizeof v4);
    address.size = sizeof v4;
  } else {
    sockaddr_in6 v6{};
    v6.sin6_family = AF_INET6;
    v6.sin6_port = htons(resolver.port);
    std::memcpy(&v6.sin6_addr, resolver.address.v6().bytes().data(), sizeof v6.sin6_addr);
    v6.sin6_scope_id = interface_index(resolver.zone);
    std::memcpy(&address.storage, &v6, sizeof v6);
    address.size = sizeof v6;
  }
  return address;
}

}  // namespace

Result<void> DnsUpstream::send(DnsAttemptId attempt, const ResolverAddress& resolver,
                               Transport transport, std::span<const std::uint8_t> query) {
  const auto known = channels_.find(attempt);
  if (known == channels_.end()) {
    Result<Channel> opened = open(attempt, resolver, transport, query);
    if (!opened) return opened.error();
    channels_.emplace(attempt, opened.take());
    return {};
  }
  // What TCP has taken it repeats by itself.
  if (transport == Transport::tcp) return {};
  if (::send(known->second.fd.get(), query.data(), query.size(), MSG_NOSIGNAL) < 0 &&
      errno != EAGAIN) {
    return error_now("send");
  }
  return {};
}

// Known to nobody before it is whole: whoever finds no memory leaves nothing open.
Result<DnsUpstream::Channel> DnsUpstream::open(DnsAttemptId attempt,
                                               const ResolverAddress& resolver, Transport transport,
                                               std::span<const std::uint8_t> query) {
  const bool tcp = transport == Transport::tcp;
  Channel channel;
  channel.transport = transport;
  channel.fd.reset(::socket(resolver.address.is_v4() ? AF_INET : AF_INET6,
                            (tcp ? SOCK_STREAM : SOCK_DGRAM) | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (!channel.fd) return error_now("socket");
  const int fd = channel.fd.get();
  const SocketAddress address = socket_address(resolver);
  if (::connect(fd, reinterpret_cast<const sockaddr*>(&address.storage), address.size) != 0 &&
      !(tcp && errno == EINPROGRESS)) {
    return error_now("connect");
  }
  if (tcp) {
    const int on = 1;
    ::setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    channel.unsent = {static_cast<std::uint8_t>(query.size() >> 8),
                      static_cast<std::uint8_t>(query.size())};
    channel.unsent.insert(channel.unsent.end(), query.begin(), query.end());
  } else if (::send(fd, query.data(), query.size(), MSG_NOSIGNAL) < 0 && errno != EAGAIN) {
    // A full queue loses it, as any router may.
    return error_now("send");
  }
  Result<EventLoop::Watch> watch = loop_.watch(
      fd, tcp ? EPOLLIN | EPOLLOUT : EPOLLIN, [this, attempt, tcp](std::uint32_t events) {
        tcp ? on_stream(attempt, events) : on_datagrams(attempt);
      });
  if (!watch) return watch.error();
  channel.watch = watch.take();
  return channel;
}

void DnsUpstream::on_datagrams(DnsAttemptId attempt) {
  std::array<std::uint8_t, kDnsMessageSizeMax> buffer;  // NOLINT: filled by the kernel
  for (int i = 0; i < kDatagramsAtOnce; ++i) {
    const auto channel = channels_.find(attempt);
    if (channel == channels_.end()) return;
    const ssize_t got = ::recv(channel->second.fd.get(), buffer.data(), buffer.size(), 0);
    if (got < 0) {
      if (errno == EAGAIN || errno == EINTR) return;
      return on_failure_(attempt, std::strerror(errno));
    }
    on_reply_(attempt, std::span(buffer).first(static_cast<std::size_t>(got)));
  }
}

Result<void> DnsUpstream::flush(Channel& channel) {
  if (!channel.unsent.empty()) {
    const ssize_t sent =
        ::send(channel.fd.get(), channel.unsent.data(), channel.unsent.size(), MSG_NOSIGNAL);
    if (sent < 0 && errno != EAGAIN && errno != EINTR) return error_now("send");
    if (sent > 0) channel.unsent.erase(channel.unsent.begin(), channel.unsent.begin() + sent);
  }
  channel.watch.set_events(channel.unsent.empty() ? EPOLLIN : EPOLLIN | EPOLLOUT);
  return {};
}

bool DnsUpstream::take_message(DnsAttemptId attempt) {
  const auto channel = channels_.find(attempt);
  if (channel == channels_.end()) return false;
  std::vector<std::uint8_t>& received = channel->second.received;
  if (received.size() < kLengthSize) return false;
  const std::size_t size = std::size_t{received[0]} << 8 | received[1];
  if (received.size() < kLengthSize + size) return false;
  const auto begin = received.begin() + kLengthSize;
  const auto end = begin + static_cast<std::ptrdiff_t>(size);
  const std::vector<std::uint8_t> message(begin, end);
  received.erase(received.begin(), end);
  on_reply_(attempt, message);
  return true;
}

void DnsUpstream::on_stream(DnsAttemptId attempt, std::uint32_t events) {
  Channel& channel = channels_.at(attempt);
  if ((events & EPOLLERR) != 0) {
    int code = 0;
    socklen_t size = sizeof code;
    ::getsockopt(channel.fd.get(), SOL_SOCKET, SO_ERROR, &code, &size);
    return on_failure_(attempt, std::strerror(code != 0 ? code : ECONNRESET));
  }
  if (const Result<void> flushed = flush(channel); !flushed) {
    return on_failure_(attempt, flushed.error().text);
  }
  if ((events & (EPOLLIN | EPOLLHUP)) == 0) return;
  std::array<std::uint8_t, 16384> buffer;  // NOLINT: filled by the kernel
  const ssize_t got = ::recv(channel.fd.get(), buffer.data(), buffer.size(), 0);
  if (got < 0 && (errno == EAGAIN || errno == EINTR)) return;
  if (got <= 0) {
    return on_failure_(attempt, got == 0 ? "closed the connection" : std::strerror(errno));
  }
  channel.received.insert(channel.received.end(), buffer.begin(), buffer.begin() + got);
  while (take_message(attempt)) {
  }
}

}  // namespace lanyard
