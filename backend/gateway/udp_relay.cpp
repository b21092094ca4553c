// SPDX-License-Identifier: MIT
//
// UdpRelay: flows and sockets, and from guests to the host.
#include "backend/gateway/udp_relay.h"

#include <netinet/icmp6.h>
#include <netinet/ip_icmp.h>
#include <sys/epoll.h>
#include <sys/resource.h>

#include <algorithm>
#include <cerrno>

#include "backend/gateway/nat_reply.h"

namespace lanyard {
namespace {

constexpr std::size_t kDescriptorsForOthers = 128;
// Every link carries as much, so whether it may be fragmented is no question (RFC 8200 5).
constexpr std::size_t kSmallPacket = 1280;
constexpr std::uint16_t kDoNotFragment = 0x4000;
constexpr std::uint8_t kHopLimit = 64;

// As many as leave half of the descriptors to TCP.
std::size_t socket_limit() {
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur == RLIM_INFINITY) {
    return UdpFlowTable::kFlowsMax;
  }
  const std::size_t free = limit.rlim_cur > 2 * kDescriptorsForOthers
                               ? limit.rlim_cur - kDescriptorsForOthers
                               : limit.rlim_cur;
  return std::min<std::size_t>(free / 2, UdpFlowTable::kFlowsMax);
}

IpAddress loopback_address(bool v6) {
  if (!v6) return Ipv4Address::from_number(INADDR_LOOPBACK);
  return Ipv6Address(Ipv6Address::Bytes{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1});
}

std::uint8_t hop_limit_of(const NatPacket& packet) {
  return packet.frame[kIpOffset + (packet.v6 ? 7U : 8U)];
}

// What the first send after an error that came by ICMP reports instead of sending.
bool tells_of_another(int code) {
  return code == ECONNREFUSED || code == EHOSTUNREACH || code == ENETUNREACH || code == EPROTO ||
         code == ENOPROTOOPT || code == EHOSTDOWN || code == EACCES || code == EMSGSIZE;
}

}  // namespace

Result<std::unique_ptr<UdpRelay>> UdpRelay::create(EventLoop& loop, Gate& gate, GuestOutput& output,
                                                   NatCounters& counters) {
  auto receiver = UdpReceiver::create();
  if (!receiver) return receiver.error();
  return std::unique_ptr<UdpRelay>(new UdpRelay(loop, gate, output, counters, receiver.take()));
}

UdpRelay::UdpRelay(EventLoop& loop, Gate& gate, GuestOutput& output, NatCounters& counters,
                   std::unique_ptr<UdpReceiver> receiver)
    : loop_(loop),
      gate_(gate),
      output_(output),
      counters_(counters),
      sockets_max_(socket_limit()),
      receiver_(std::move(receiver)) {}

UdpRelay::~UdpRelay() = default;

void UdpRelay::set_network(const NetworkConfig& config) {
  router4_ = config.router;
  router6_ = config.router6;
  subnet4_ = config.subnet;
  subnet6_ = config.subnet6;
  outbound4_ = IpAddress::parse(config.outbound_address);
  outbound6_ = IpAddress::parse(config.outbound_address6);
}

std::optional<IpAddress> UdpRelay::router(bool v6) const {
  if (v6) return router6_ ? std::optional<IpAddress>(*router6_) : std::nullopt;
  return router4_ ? std::optional<IpAddress>(*router4_) : std::nullopt;
}

FlowKey UdpRelay::endpoint_of(const FlowKey& key) {
  FlowKey endpoint;
  endpoint.guest = key.guest;
  endpoint.guest_port = key.guest_port;
  return endpoint;
}

void UdpRelay::from_guest(const NatPacket& packet, std::size_t step) {
  UdpFlow* flow =
      newest_ != nullptr && newest_->key == packet.key ? newest_ : flows_.find(packet.key);
  if (flow == nullptr) flow = open(packet);
  if (flow == nullptr) return;
  newest_ = flow;
  flow->mac = packet.mac;
  const std::size_t size = packet.payload_size();
  flows_.used(*flow, Direction::from_guest, size, loop_.now());
  DatagramRuns::Way way{kHopLimit, false};
  if (!flow->peer.is_loopback()) {
    // We are a router on this way.
    way.hop_limit = hop_limit_of(packet);
    if (way.hop_limit <= 1) {
      counters_.count(NatEvent::hops_used_up);
      const auto router = this->router(packet.v6);
      if (router && errors_limit_.allow(loop_.now())) {
        const std::uint8_t type = packet.v6 ? ICMP6_TIME_EXCEEDED : ICMP_TIME_EXCEEDED;
        tell_guest({packet.key, packet.v6, packet.mac}, *router, {type, 0}, packet.payload());
      }
      return;
    }
    --way.hop_limit;
  }
  // What came in fragments is longer than the guests' MTU, and may leave in fragments.
  const std::size_t longest = step == 0 ? packet.frame.size() : packet.payload_offset + step;
  const bool whole = packet.v6 ? longest <= kIpOffset + output_.mtu()
                               : (load_u16(packet.frame, kIpOffset + 6) & kDoNotFragment) != 0;
  way.unfragmented = whole && (longest > kIpOffset + kSmallPacket || flow->mapping->unfragmented);
  runs_.add(*flow, packet.payload(), step, way);
}

UdpFlow* UdpRelay::open(const NatPacket& packet) {
  // What has been gathered holds flows that may end now.
  flush();
  std::uint64_t account = 0;
  if (!gate_.admit_datagram(packet, account)) return nullptr;
  UdpMapping* const mapping =
      make_room(flows_.full()) ? mapping_for(packet.key, packet.v6) : nullptr;
  if (mapping == nullptr) {
    gate_.flow_ended(account);
    gate_.refuse(packet, NatEvent::flow_table_full);
    return nullptr;
  }
  UdpFlow* made = nullptr;
  if (!loop_.run([&] { made = &flows_.insert(packet.key, Direction::from_guest, loop_.now()); })) {
    // Nobody would close it.
    if (mapping->flows == 0 && !mapping->is_forward) mappings_.erase(FlowKey(mapping->endpoint));
    gate_.flow_ended(account);
    return nullptr;
  }
  UdpFlow& flow = *made;
  flow.account = account;
  flow.has_account = true;
  flow.mapping = mapping;
  ++mapping->flows;
  const IpAddress target = address_of(packet.key.target);
  flow.peer = SocketName(target == router(packet.v6) ? loopback_address(packet.v6) : target,
                         packet.key.target_port);
  return &flow;
}

UdpMapping* UdpRelay::mapping_for(const FlowKey& key, bool v6) {
  const FlowKey endpoint = endpoint_of(key);
  if (const auto found = mappings_.find(endpoint); found != mappings_.end()) {
    return found->second.get();
  }
  if (!(v6 ? outbound6_ : outbound4_)) {
    const auto [first, last] = forwards_.equal_range(endpoint);
    const auto usable =
        std::find_if(first, last, [](const auto& entry) { return entry.second->on_all_addresses; });
    if (usable != last) return usable->second.get();
  }
  return make_mapping(endpoint, v6);
}

UdpMapping* UdpRelay::make_mapping(const FlowKey& endpoint, bool v6) {
  if (!make_room(mappings_.size() >= sockets_max_)) return nullptr;
  Result<UniqueFd> fd = open_socket(v6);
  if (!fd && (fd.error().code == EMFILE || fd.error().code == ENFILE) && make_room(true)) {
    fd = open_socket(v6);
  }
  if (!fd) return nullptr;
  auto mapping = std::make_unique<UdpMapping>();
  UdpMapping* const made = mapping.get();
  made->endpoint = endpoint;
  made->v6 = v6;
  made->fd = fd.take();
  auto watch = loop_.watch(made->fd.get(), EPOLLIN,
                           [this, made](std::uint32_t events) { on_events(*made, events); });
  if (!watch) return nullptr;
  made->watch = watch.take();
  mappings_.emplace(endpoint, std::move(mapping));
  return made;
}

Result<UniqueFd> UdpRelay::open_socket(bool v6) {
  auto fd = open_udp_socket(v6);
  const auto& outbound = v6 ? outbound6_ : outbound4_;
  if (!fd || !outbound) return fd;
  const SocketName from(*outbound, 0);
  if (::bind(fd.value().get(), from.get(), from.size()) != 0) {
    return Error{errno, "the outbound address is not the host's"};
  }
  return fd;
}

// Ends a flow that can be spared, if one has to go. False: there is none.
bool UdpRelay::make_room(bool needed) {
  if (!needed) return true;
  UdpFlow* const flow = flows_.expendable();
  if (flow == nullptr) return false;
  counters_.count(NatEvent::flows_displaced);
  forget(*flow);
  return true;
}

void UdpRelay::forget(UdpFlow& flow) {
  release(flow);
  flows_.erase(FlowKey(flow.key));
}

// What a flow has that is not in the table.
void UdpRelay::release(const UdpFlow& flow) {
  if (newest_ == &flow) newest_ = nullptr;
  if (flow.has_account) gate_.flow_ended(flow.account);
  UdpMapping& mapping = *flow.mapping;
  if (--mapping.flows != 0 || mapping.is_forward) return;
  if (mapping.parked) std::erase(parked_, &mapping);
  mappings_.erase(FlowKey(mapping.endpoint));
}

void UdpRelay::expire(Time now) {
  flows_.expire(now, [this](const UdpFlow& flow) { release(flow); });
}

// Each socket gets its runs in their order, as many with one call as want the same of it.
void UdpRelay::flush() {
  const auto runs = runs_.runs();
  for (std::size_t i = 0; i < runs.size(); ++i) {
    if (runs[i].count == 0) continue;
    UdpMapping& mapping = *runs[i].flow->mapping;
    group_.clear();
    for (std::size_t j = i; j < runs.size(); ++j) {
      if (runs[j].count == 0 || runs[j].flow->mapping != &mapping) continue;
      if (runs[j].unfragmented != runs[i].unfragmented) break;
      group_.push_back(&runs[j]);
    }
    if (mapping.unfragmented != runs[i].unfragmented) {
      mapping.unfragmented = runs[i].unfragmented;
      set_fragmentation(mapping.fd.get(), mapping.v6, !mapping.unfragmented);
    }
    send_runs(mapping, group_);
    for (DatagramRuns::Run* run : group_) run->count = 0;  // done with
  }
  runs_.clear();
}

void UdpRelay::send_runs(UdpMapping& mapping, std::span<DatagramRuns::Run* const> runs) {
  parts_.clear();
  messages_.clear();
  for (const DatagramRuns::Run* run : runs) runs_.append_parts(*run, parts_);
  std::size_t at = 0;
  for (const DatagramRuns::Run* run : runs) {
    UdpSender::Message& message = messages_.emplace_back();
    message.to = &run->flow->peer;
    message.parts = std::span(parts_).subspan(at, run->pieces);
    message.segment_size = run->count > 1 ? run->segment_size : 0;
    message.hop_limit = run->hop_limit;
    message.from = run->flow->has_local ? &run->flow->local : nullptr;
    at += run->pieces;
    if (run->count > 1) counters_.count(NatEvent::datagrams_joined, run->count - 1);
  }
  bool repeated = false;
  for (std::size_t done = 0; done < runs.size();) {
    const std::size_t sent =
        sender_.send(mapping.fd.get(), mapping.v6, std::span(messages_).subspan(done));
    done += sent;
    if (sent != 0) {
      repeated = false;
    } else if (const int code = errno; !repeated && tells_of_another(code)) {
      repeated = true;
    } else {
      failed_.push_back({runs[done], code});
      repeated = false;
      ++done;
    }
  }
  for (const auto& [run, code] : std::exchange(failed_, {})) run_failed(mapping, *run, code);
}

void UdpRelay::run_failed(UdpMapping& mapping, DatagramRuns::Run& run, int code) {
  if (run.count == 1 || (code != EINVAL && code != EMSGSIZE && code != EIO)) {
    return not_sent(run, code);
  }
  // The way there takes no segments of this length, or computes no checksums.
  run.flow->run_segment_max =
      code == EIO ? std::uint16_t{0} : static_cast<std::uint16_t>(run.segment_size - 1);
  send_singly(mapping, run);
}

void UdpRelay::send_singly(UdpMapping& mapping, DatagramRuns::Run& run) {
  parts_.clear();
  runs_.append_parts(run, parts_);
  bool told = false;
  for (const iovec part : parts_) {
    for (std::size_t at = 0; at < part.iov_len; at += run.segment_size) {
      iovec one{static_cast<std::uint8_t*>(part.iov_base) + at,
                std::min(run.segment_size, part.iov_len - at)};
      UdpSender::Message message;
      message.to = &run.flow->peer;
      message.parts = {&one, 1};
      message.hop_limit = run.hop_limit;
      message.from = run.flow->has_local ? &run.flow->local : nullptr;
      for (int attempt = 0; attempt < 2; ++attempt) {
        if (sender_.send(mapping.fd.get(), mapping.v6, {&message, 1}) != 0) break;
        if (attempt == 0 && tells_of_another(errno)) continue;
        if (!std::exchange(told, true)) not_sent(run, errno);
        break;
      }
    }
  }
}

// Tells the guest why, as a router does.
void UdpRelay::not_sent(const DatagramRuns::Run& run, int code) {
  if (code == EAGAIN || code == ENOBUFS || code == ENOMEM) {
    counters_.count(NatEvent::host_busy, run.count);
    return;
  }
  counters_.count(NatEvent::host_refused, run.count);
  const UdpFlow& flow = *run.flow;
  const bool v6 = flow.mapping->v6;
  std::optional<IcmpError> error = unreachable_by(code, v6);
  if (code == EMSGSIZE) {
    error =
        v6 ? IcmpError{ICMP6_PACKET_TOO_BIG, 0} : IcmpError{ICMP_DEST_UNREACH, ICMP_FRAG_NEEDED};
    error->info = mtu_of_way(*flow.mapping);
    if (error->info == 0) return;
  }
  if (!error) return;
  const auto router = this->router(v6);
  if (!router || !errors_limit_.allow(loop_.now())) return;
  std::vector<iovec> parts;
  runs_.append_parts(run, parts);
  tell_guest({flow.key, v6, flow.mac}, *router, *error,
             {static_cast<const std::uint8_t*>(parts[0].iov_base),
              std::min(parts[0].iov_len, run.segment_size)});
}

int UdpRelay::listen(const ForwardConfig& forward, std::uint16_t port, const IpAddress& guest) {
  const bool v6 = forward.host_address.is_v6();
  auto fd = open_udp_socket(v6);
  if (!fd) return fd.error().code;
  // So that an IPv4 forward of the same port is another one.
  const int on = 1;
  if (v6) (void)::setsockopt(fd.value().get(), IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on);
  auto mapping = std::make_unique<UdpMapping>();
  UdpMapping* const made = mapping.get();
  made->listens =
      SocketName(forward.host_address, static_cast<std::uint16_t>(forward.host_port + port));
  if (::bind(fd.value().get(), made->listens.get(), made->listens.size()) != 0) return errno;
  made->on_all_addresses =
      v6 ? forward.host_address.v6().is_unspecified() : forward.host_address.v4().is_unspecified();
  if (made->on_all_addresses) ask_for_local_address(fd.value().get(), v6);
  made->endpoint.guest = address_key(guest);
  made->endpoint.guest_port = static_cast<std::uint16_t>(forward.guest_port + port);
  made->v6 = v6;
  made->is_forward = true;
  made->forward = forward.name;
  made->fd = fd.take();
  auto watch = loop_.watch(made->fd.get(), EPOLLIN,
                           [this, made](std::uint32_t events) { on_events(*made, events); });
  if (!watch) return watch.error().code;
  made->watch = watch.take();
  forwards_.emplace(made->endpoint, std::move(mapping));
  return 0;
}

void UdpRelay::unlisten(const ForwardConfig& forward, std::uint16_t port) {
  flush();
  const SocketName listens(forward.host_address,
                           static_cast<std::uint16_t>(forward.host_port + port));
  const auto found = std::find_if(forwards_.begin(), forwards_.end(), [&](const auto& entry) {
    return entry.second->listens.port() == listens.port() &&
           entry.second->listens.key() == listens.key();
  });
  if (found == forwards_.end()) return;
  UdpMapping* const mapping = found->second.get();
  std::vector<FlowKey> keys;
  flows_.for_each([&](const UdpFlow& flow) {
    if (flow.mapping == mapping) keys.push_back(flow.key);
  });
  for (const FlowKey& key : keys) forget(*flows_.find(key));
  if (mapping->parked) std::erase(parked_, mapping);
  forwards_.erase(found);
}

std::string_view UdpFlow::forward() const {
  return has_account ? std::string_view() : mapping->forward;
}

std::vector<Flow> UdpRelay::flows() const {
  std::vector<Flow> rows;
  rows.reserve(flows_.size());
  flows_.for_each([&](const UdpFlow& flow) {
    Flow row;
    row.transport = "udp";
    row.guest = address_of(flow.key.guest);
    row.guest_port = flow.key.guest_port;
    if (const auto name = SocketName::of_socket(flow.mapping->fd.get())) row.host = name->text();
    row.target = address_of(flow.key.target);
    row.target_port = flow.key.target_port;
    row.bytes_out = flow.bytes_out;
    row.bytes_in = flow.bytes_in;
    row.forward = flow.forward();
    rows.push_back(std::move(row));
  });
  return rows;
}

}  // namespace lanyard
