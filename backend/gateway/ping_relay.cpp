// SPDX-License-Identifier: MIT
#include "backend/gateway/ping_relay.h"

#include <linux/errqueue.h>
#include <netinet/icmp6.h>
#include <netinet/in.h>
#include <netinet/ip_icmp.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>

#include "switch/base/one_message.h"
#include "switch/base/text.h"

namespace lanyard {
namespace {

constexpr std::size_t kMessageMax = 65536;
constexpr int kReceivesPerTurn = 32;
constexpr Duration kAgeingPeriod = std::chrono::seconds(5);
constexpr std::uint8_t kErrorHopLimit = 64;

// A socket address of either family.
struct SocketAddress {
  sockaddr_storage storage{};
  socklen_t size = 0;

  sockaddr* get() { return reinterpret_cast<sockaddr*>(&storage); }
  static SocketAddress of(const IpAddress& address) {
    SocketAddress made;
    if (address.is_v4()) {
      sockaddr_in in{};
      in.sin_family = AF_INET;
      in.sin_addr.s_addr = htonl(address.v4().number());
      std::memcpy(&made.storage, &in, sizeof in);
      made.size = sizeof in;
    } else {
      sockaddr_in6 in{};
      in.sin6_family = AF_INET6;
      std::memcpy(&in.sin6_addr, address.v6().bytes().data(), 16);
      std::memcpy(&made.storage, &in, sizeof in);
      made.size = sizeof in;
    }
    return made;
  }
  std::optional<IpAddress> address() const {
    if (storage.ss_family == AF_INET) {
      sockaddr_in in{};
      std::memcpy(&in, &storage, sizeof in);
      return IpAddress(Ipv4Address::from_number(ntohl(in.sin_addr.s_addr)));
    }
    if (storage.ss_family == AF_INET6) {
      sockaddr_in6 in{};
      std::memcpy(&in, &storage, sizeof in);
      Ipv6Address::Bytes octets{};
      std::memcpy(octets.data(), &in.sin6_addr, octets.size());
      return IpAddress(Ipv6Address(octets));
    }
    return std::nullopt;
  }
};

std::uint16_t load_u16(std::span<const std::uint8_t> bytes, std::size_t at) {
  return static_cast<std::uint16_t>(bytes[at] << 8 | bytes[at + 1]);
}

void store_u16(std::span<std::uint8_t> bytes, std::size_t at, std::uint16_t number) {
  bytes[at] = static_cast<std::uint8_t>(number >> 8);
  bytes[at + 1] = static_cast<std::uint8_t>(number);
}

void set_option(int fd, int level, int option, int value) {
  ::setsockopt(fd, level, option, &value, sizeof value);
}

// Something to receive into that also shows the ancillary data.
struct Incoming {
  explicit Incoming(PacketBytes& buffer) : part{buffer.data(), buffer.size()} {
    header.msg_name = &peer.storage;
    header.msg_namelen = sizeof peer.storage;
    header.msg_iov = &part;
    header.msg_iovlen = 1;
    header.msg_control = control.data();
    header.msg_controllen = control.size();
  }
  template <typename T>
  bool find(int level, int type, T& into) {
    for (cmsghdr* c = CMSG_FIRSTHDR(&header); c != nullptr; c = CMSG_NXTHDR(&header, c)) {
      if (c->cmsg_level == level && c->cmsg_type == type && c->cmsg_len >= CMSG_LEN(sizeof into)) {
        std::memcpy(&into, CMSG_DATA(c), sizeof into);
        return true;
      }
    }
    return false;
  }

  SocketAddress peer;
  iovec part;
  alignas(cmsghdr) std::array<char, 512> control{};
  msghdr header{};
};

}  // namespace

PingRelay::PingRelay(EventLoop& loop, GuestSide& link, Log& log, Allowed allowed)
    : loop_(loop), link_(link), log_(log), allowed_(std::move(allowed)) {
  check_permission();
  if (!problem_.empty()) log_.notice("{}", problem_);
  ageing_ = loop_.every(kAgeingPeriod, [this] { age(); });
}

PingRelay::~PingRelay() = default;

void PingRelay::set_network(const NetworkConfig& config) {
  router_ = config.router;
  router6_ = config.router6;
  subnet_ = config.subnet;
  subnet6_ = config.subnet6;
  if (outbound4_ != config.outbound_address || outbound6_ != config.outbound_address6) {
    sessions_.clear();
  }
  outbound4_ = config.outbound_address;
  outbound6_ = config.outbound_address6;
}

void PingRelay::check_permission() {
  const UniqueFd trial(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, IPPROTO_ICMP));
  if (trial) {
    problem_.clear();
  } else if (errno == EACCES || errno == EPERM) {
    problem_ =
        "guests cannot ping the outside: the kernel gives nobody of our group a socket for it. "
        "To allow it: sysctl -w net.ipv4.ping_group_range='0 2147483647'";
  } else {
    problem_ = fmt::format("guests cannot ping the outside: {}", std::strerror(errno));
  }
}

void PingRelay::on_echo(const Packet& packet, const IcmpView& icmp) {
  const bool v4 = packet.kind == Packet::Kind::ipv4;
  // Neighbours are reached through the switch, and groups are nobody's to answer for.
  const bool local = v4 ? (subnet_ && subnet_->contains(packet.to.v4())) ||
                              packet.to.v4().is_multicast() || packet.to.v4().is_broadcast()
                        : (subnet6_ && subnet6_->contains(packet.to.v6())) ||
                              packet.to.v6().is_multicast() || packet.to.v6().is_link_local();
  if (local) return;
  if (packet.hop_limit <= 1) {
    send_error(packet, v4 ? std::uint8_t{ICMP_TIME_EXCEEDED} : std::uint8_t{ICMP6_TIME_EXCEEDED},
               0);
    return;
  }
  const std::uint8_t unreachable = v4 ? ICMP_DEST_UNREACH : ICMP6_DST_UNREACH;
  const std::uint8_t prohibited = v4 ? ICMP_PKT_FILTERED : ICMP6_DST_UNREACH_ADMIN;
  if (allowed_ && !allowed_(packet.from, packet.to)) {
    ++counters_.refused;
    send_error(packet, unreachable, prohibited);
    return;
  }
  Session* const session = session_for(packet, icmp.identifier);
  if (session == nullptr) {
    send_error(packet, unreachable, prohibited);
    return;
  }
  send(*session, packet, icmp);
}

Result<UniqueFd> PingRelay::open_socket(bool v4) const {
  UniqueFd fd(::socket(v4 ? AF_INET : AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK,
                       v4 ? int{IPPROTO_ICMP} : int{IPPROTO_ICMPV6}));
  if (!fd) return Error{errno, std::strerror(errno)};
  if (v4) {
    set_option(fd.get(), IPPROTO_IP, IP_RECVERR, 1);
    set_option(fd.get(), IPPROTO_IP, IP_RECVTTL, 1);
  } else {
    set_option(fd.get(), IPPROTO_IPV6, IPV6_RECVERR, 1);
    set_option(fd.get(), IPPROTO_IPV6, IPV6_RECVHOPLIMIT, 1);
  }
  if (const auto from = IpAddress::parse(v4 ? outbound4_ : outbound6_)) {
    SocketAddress address = SocketAddress::of(*from);
    if (::bind(fd.get(), address.get(), address.size) != 0) {
      return Error{errno, fmt::format("{}: {}", from->text(), std::strerror(errno))};
    }
  }
  return fd;
}

PingRelay::Session* PingRelay::session_for(const Packet& packet, std::uint16_t identifier) {
  const Key key{packet.from, identifier};
  if (const auto found = sessions_.find(key); found != sessions_.end()) {
    found->second->mac = packet.source;
    return found->second.get();
  }
  make_room(packet.source);
  Result<UniqueFd> fd = open_socket(packet.kind == Packet::Kind::ipv4);
  if (!fd) {
    const int code = fd.error().code;
    ++(code == EACCES || code == EPERM ? counters_.not_permitted : counters_.failed);
    return nullptr;
  }
  auto session = std::make_unique<Session>();
  session->key = key;
  session->mac = packet.source;
  session->fd = fd.take();
  Result<EventLoop::Watch> watch = loop_.watch(
      session->fd.get(), EPOLLIN, [this, key](std::uint32_t events) { on_events(key, events); });
  if (!watch) return nullptr;
  session->watch = watch.take();
  return sessions_.emplace(key, std::move(session)).first->second.get();
}

// The oldest of the guest goes when it has its share, the oldest of all when everybody has. A guest
// is its hardware address here: IP addresses it can invent.
void PingRelay::make_room(MacAddress guest) {
  auto oldest = sessions_.end();
  auto oldest_of_guest = sessions_.end();
  std::size_t of_guest = 0;
  for (auto at = sessions_.begin(); at != sessions_.end(); ++at) {
    const auto older = [&](auto than) {
      return than == sessions_.end() || at->second->used < than->second->used;
    };
    if (older(oldest)) oldest = at;
    if (at->second->mac != guest) continue;
    ++of_guest;
    if (older(oldest_of_guest)) oldest_of_guest = at;
  }
  if (of_guest >= kSocketsPerGuestMax) {
    sessions_.erase(oldest_of_guest);
    ++counters_.evicted;
  } else if (sessions_.size() >= kSocketsMax) {
    sessions_.erase(oldest);
    ++counters_.evicted;
  }
}

void PingRelay::send(Session& session, const Packet& packet, const IcmpView& icmp) {
  const bool v4 = packet.kind == Packet::Kind::ipv4;
  session.used = loop_.now();
  session.target = packet.to;
  session.bytes_out += icmp.message.size();
  const int hop_limit = packet.hop_limit - 1;
  if (hop_limit != session.hop_limit) {
    session.hop_limit = hop_limit;
    if (v4) {
      set_option(session.fd.get(), IPPROTO_IP, IP_TTL, hop_limit);
    } else {
      set_option(session.fd.get(), IPPROTO_IPV6, IPV6_UNICAST_HOPS, hop_limit);
    }
  }
  SocketAddress target = SocketAddress::of(packet.to);
  for (int attempt = 0; attempt < 2; ++attempt) {
    if (::sendto(session.fd.get(), icmp.message.data(), icmp.message.size(),
                 MSG_DONTWAIT | MSG_NOSIGNAL, target.get(), target.size) >= 0) {
      ++counters_.sent;
      return;
    }
    // The first call after an error that came by ICMP reports it instead of sending.
    if (errno != EHOSTUNREACH && errno != ENETUNREACH && errno != ECONNREFUSED) break;
  }
  const int code = errno;
  ++counters_.failed;
  if (code == ENETUNREACH || code == EHOSTUNREACH) {
    send_error(packet, v4 ? std::uint8_t{ICMP_DEST_UNREACH} : std::uint8_t{ICMP6_DST_UNREACH},
               v4 ? std::uint8_t{ICMP_NET_UNREACH} : std::uint8_t{ICMP6_DST_UNREACH_NOROUTE});
  }
}

void PingRelay::on_events(const Key& key, std::uint32_t events) {
  const auto found = sessions_.find(key);
  if (found == sessions_.end()) return;
  Session& session = *found->second;
  buffer_.resize(kMessageMax);
  for (int i = 0; (events & EPOLLERR) != 0 && i < kReceivesPerTurn; ++i) {
    if (!read_error(session)) break;
  }
  for (int i = 0; i < kReceivesPerTurn && link_.has_room(); ++i) {
    if (!read_reply(session)) break;
  }
}

bool PingRelay::read_reply(Session& session) {
  Incoming in(buffer_);
  const ssize_t size = receive_message(session.fd.get(), in.header, MSG_DONTWAIT);
  if (size < 0) return errno == EINTR;
  const std::optional<IpAddress> from = in.peer.address();
  if (!from || static_cast<std::size_t>(size) < kIcmpHeaderSize) return true;
  const bool v4 = from->is_v4();
  const IpAddress& guest = session.key.first;
  int hop_limit = 64;
  if (!in.find(v4 ? int{IPPROTO_IP} : int{IPPROTO_IPV6}, v4 ? int{IP_TTL} : int{IPV6_HOPLIMIT},
               hop_limit)) {
    hop_limit = 64;
  }
  // One hop more: us.
  const auto left = static_cast<std::uint8_t>(std::clamp(hop_limit - 1, 1, 255));
  message_.assign(buffer_.begin(), buffer_.begin() + size);
  store_u16(message_, 4, session.key.second);
  ++counters_.answered;
  session.bytes_in += message_.size();
  session.used = loop_.now();
  if (v4) {
    finish_icmp(message_);
    link_.send_ip(session.mac, *from, guest, kProtocolIcmp, left, message_);
  } else {
    finish_icmp6(message_, from->v6(), guest.v6());
    link_.send_ip(session.mac, *from, guest, kProtocolIcmp6, left, message_);
  }
  return true;
}

bool PingRelay::read_error(Session& session) {
  Incoming in(buffer_);
  const ssize_t size = receive_message(session.fd.get(), in.header, MSG_DONTWAIT | MSG_ERRQUEUE);
  if (size < 0) return errno == EINTR;
  const bool v4 = session.key.first.is_v4();
  struct {
    sock_extended_err error;
    sockaddr_in6 offender;  // or a sockaddr_in
  } report{};
  struct {
    sock_extended_err error;
    sockaddr_in offender;
  } report4{};
  SocketAddress offender;
  if (v4) {
    if (!in.find(IPPROTO_IP, IP_RECVERR, report4)) return true;
    report.error = report4.error;
    std::memcpy(&offender.storage, &report4.offender, sizeof report4.offender);
  } else {
    if (!in.find(IPPROTO_IPV6, IPV6_RECVERR, report)) return true;
    std::memcpy(&offender.storage, &report.offender, sizeof report.offender);
  }
  const std::optional<IpAddress> from = offender.address();
  const std::optional<IpAddress> target = in.peer.address();
  const std::uint8_t wanted = v4 ? SO_EE_ORIGIN_ICMP : SO_EE_ORIGIN_ICMP6;
  if (report.error.ee_origin != wanted || !from || !target || from->is_v4() != v4 ||
      target->is_v4() != v4 || static_cast<std::size_t>(size) < kIcmpHeaderSize) {
    return true;
  }
  ++counters_.errors;
  message_.assign(buffer_.begin(), buffer_.begin() + size);
  pass_error(session, *from, *target, report.error.ee_type, report.error.ee_code,
             report.error.ee_info, message_);
  return true;
}

void PingRelay::pass_error(const Session& session, const IpAddress& from, const IpAddress& target,
                           std::uint8_t type, std::uint8_t code, std::uint32_t info,
                           std::span<const std::uint8_t> quoted) {
  const IpAddress& guest = session.key.first;
  const bool v4 = guest.is_v4();
  // As much as every router quotes at least (RFC 792) and Linux looks at.
  PacketBytes inner(
      quoted.begin(),
      quoted.begin() + static_cast<std::ptrdiff_t>(std::min<std::size_t>(quoted.size(), 512)));
  // The checksum follows the identifier that the kernel had put in (RFC 1624).
  InternetChecksum sum;
  sum.add_u16(static_cast<std::uint16_t>(~load_u16(inner, 2)));
  sum.add_u16(static_cast<std::uint16_t>(~load_u16(inner, 4)));
  sum.add_u16(session.key.second);
  store_u16(inner, 2, sum.finish());
  store_u16(inner, 4, session.key.second);

  PacketBytes error{type, code, 0, 0};
  const bool has_mtu =
      v4 ? type == ICMP_DEST_UNREACH && code == ICMP_FRAG_NEEDED : type == ICMP6_PACKET_TOO_BIG;
  const std::uint32_t word = has_mtu ? info : 0;
  for (int shift = 24; shift >= 0; shift -= 8) {
    error.push_back(static_cast<std::uint8_t>(word >> shift));
  }
  if (v4) {
    append_ipv4(error, {guest.v4(), target.v4(), kProtocolIcmp, 1}, inner.size());
  } else {
    append_ipv6(error, {guest.v6(), target.v6(), kProtocolIcmp6, 1}, inner.size());
  }
  error.insert(error.end(), inner.begin(), inner.end());
  if (v4) {
    finish_icmp(error);
  } else {
    finish_icmp6(error, from.v6(), guest.v6());
  }
  link_.send_ip(session.mac, from, guest, v4 ? kProtocolIcmp : kProtocolIcmp6, kErrorHopLimit,
                error);
}

void PingRelay::send_error(const Packet& packet, std::uint8_t type, std::uint8_t code) {
  const bool v4 = packet.kind == Packet::Kind::ipv4;
  if (v4 ? !router_ : !router6_) return;
  const IpAddress router = v4 ? IpAddress(*router_) : IpAddress(*router6_);
  // RFC 1812 4.3.2.3 and RFC 4443 2.4: as much of the packet as a small one takes.
  const std::size_t most = v4 ? 548 : 1232;
  PacketBytes error{type, code, 0, 0, 0, 0, 0, 0};
  const auto quoted = packet.network.first(std::min(packet.network.size(), most));
  error.insert(error.end(), quoted.begin(), quoted.end());
  if (v4) {
    finish_icmp(error);
  } else {
    finish_icmp6(error, router.v6(), packet.from.v6());
  }
  link_.send_ip(packet.source, router, packet.from, v4 ? kProtocolIcmp : kProtocolIcmp6,
                kErrorHopLimit, error);
}

std::vector<Flow> PingRelay::flows() const {
  std::vector<Flow> flows;
  for (const auto& [key, session] : sessions_) {
    Flow flow;
    flow.transport = "icmp";
    flow.guest = key.first;
    flow.guest_port = key.second;
    flow.target = session->target;
    flow.bytes_out = session->bytes_out;
    flow.bytes_in = session->bytes_in;
    flows.push_back(std::move(flow));
  }
  return flows;
}

void PingRelay::age() {
  check_permission();
  const Time now = loop_.now();
  std::erase_if(sessions_,
                [now](const auto& session) { return now - session.second->used >= kLife; });
}

}  // namespace lanyard
