// SPDX-License-Identifier: MIT
//
// UdpRelay: from the host to guests.
#include <sys/epoll.h>

#include <algorithm>
#include <cerrno>

#include "backend/gateway/udp_frame.h"
#include "backend/gateway/udp_relay.h"

namespace lanyard {
namespace {

constexpr std::size_t kErrorsPerTurn = 32;
// As much of a datagram as an error of ours quotes at most (RFC 1812 4.3.2.3, with headers).
constexpr std::size_t kQuotedMax = 512;
constexpr std::size_t kBurst = 8;
constexpr Duration kAskAgain = std::chrono::seconds(1);

static_assert(UdpReceiver::kHeadroom >= udp_header_size(true));

// Where the whole frame lies: its headers are about to be written before payload number `at`.
std::span<std::uint8_t> frame_at(const UdpReceiver::Received& received, bool v6, std::size_t at,
                                 std::size_t size) {
  const std::size_t header = udp_header_size(v6);
  return {received.buffer + UdpReceiver::kHeadroom + at - header, header + size};
}

// Whether `next` can be part of one frame with `all`, to which it would be appended.
bool continues(const UdpReceiver::Received& all, const UdpReceiver::Received& next,
               std::size_t longest, bool v6) {
  const std::size_t step = all.segment_size != 0 ? all.segment_size : all.size;
  return next.segment_size == 0 && next.size != 0 && next.size <= step && all.size % step == 0 &&
         step <= longest && all.size + next.size <= udp_payload_max(v6);
}

}  // namespace

void UdpRelay::on_events(UdpMapping& mapping, std::uint32_t events) {
  if ((events & EPOLLERR) != 0) pass_errors(mapping);
  if ((events & EPOLLIN) == 0) return;
  if (output_.congested() || !guest_is_known(mapping)) return park(mapping);
  const auto received = receiver_->receive(mapping.fd.get());
  if (received.size() >= kBurst && !mapping.bursts) {
    mapping.bursts = true;
    expect_bursts(mapping.fd.get());
  }
  deliver(mapping, received);
}

// A guest with a flow of its own is known by that.
bool UdpRelay::guest_is_known(UdpMapping& mapping) {
  if (!mapping.is_forward) return true;
  const IpAddress guest = address_of(mapping.endpoint.guest);
  if (gate_.mac_of_guest(guest)) return true;
  const Time now = loop_.now();
  if (mapping.asked == Time{0} || now - mapping.asked >= kAskAgain) {
    mapping.asked = now;
    gate_.guest_wanted(guest);
  }
  return false;
}

void UdpRelay::park(UdpMapping& mapping) {
  if (std::exchange(mapping.parked, true)) return;
  mapping.watch.set_events(0);
  parked_.push_back(&mapping);
}

void UdpRelay::resume() {
  if (output_.congested()) return;
  for (UdpMapping* mapping : std::exchange(parked_, {})) {
    mapping->parked = false;
    mapping->watch.set_events(EPOLLIN);
  }
}

void UdpRelay::learned(const AddressKey& guest) {
  const auto waits_for_another = [&](const UdpMapping* mapping) {
    return mapping->endpoint.guest != guest;
  };
  const auto first = std::partition(parked_.begin(), parked_.end(), waits_for_another);
  for (auto at = first; at != parked_.end(); ++at) {
    (*at)->parked = false;
    (*at)->watch.set_events(EPOLLIN);
  }
  parked_.erase(first, parked_.end());
}

// Equal datagrams of a flow that lie side by side become one frame.
void UdpRelay::deliver(UdpMapping& mapping, std::span<UdpReceiver::Received> received) {
  const std::size_t longest =
      output_.mtu() + kIpOffset - std::min<std::size_t>(output_.mtu(), udp_header_size(mapping.v6));
  UdpFlow* flow = nullptr;
  UdpReceiver::Received* joined = nullptr;  // not sent yet
  for (UdpReceiver::Received& next : received) {
    const auto key = key_of(mapping, next.from);
    const bool same = key && flow != nullptr && flow->key == *key;
    if (same && joined != nullptr && continues(*joined, next, longest, mapping.v6)) {
      if (joined->segment_size == 0) joined->segment_size = joined->size;
      std::copy_n(next.payload().begin(), next.size,
                  joined->buffer + UdpReceiver::kHeadroom + joined->size);
      joined->size += next.size;
      counters_.count(NatEvent::datagrams_joined);
      flows_.used(*flow, Direction::to_guest, next.size, loop_.now());
      continue;
    }
    // Before another flow is opened: this one may have to make room.
    if (joined != nullptr) send_to_guest(*flow, *std::exchange(joined, nullptr));
    if (!key || next.size > udp_payload_max(mapping.v6)) {
      counters_.count(NatEvent::unanswerable);
      continue;
    }
    if (!same) flow = flows_.find(*key);
    if (flow == nullptr) flow = open_incoming(mapping, *key, next);
    if (flow == nullptr) continue;
    flows_.used(*flow, Direction::to_guest, next.size, loop_.now());
    joined = &next;
  }
  if (joined != nullptr) send_to_guest(*flow, *joined);
}

// The flow as the guest calls it; none with a peer that the guest cannot answer.
std::optional<FlowKey> UdpRelay::key_of(const UdpMapping& mapping, const SocketName& from) const {
  FlowKey key = mapping.endpoint;
  key.protocol = kIpProtocolUdp;
  key.target_port = from.port();
  if (from.is_v6() != mapping.v6) return std::nullopt;
  if (from.is_loopback()) {
    const auto router = this->router(mapping.v6);
    if (!router) return std::nullopt;
    key.target = address_key(*router);
    return key;
  }
  key.target = from.key();
  const IpAddress peer = from.address();
  const bool inside = mapping.v6 ? (subnet6_ && subnet6_->contains(peer.v6())) ||
                                       peer.v6().is_link_local() || peer.v6().mapped_v4()
                                 : subnet4_ && subnet4_->contains(peer.v4());
  return inside ? std::nullopt : std::optional(key);
}

// Somebody else answers a guest's datagram, or a forward has a new client.
UdpFlow* UdpRelay::open_incoming(UdpMapping& mapping, const FlowKey& key,
                                 const UdpReceiver::Received& first) {
  const auto mac = gate_.mac_of_guest(address_of(key.guest));
  if (!mac) {
    counters_.count(NatEvent::guest_unknown);
    return nullptr;
  }
  ++mapping.flows;  // before anything ends, so that this socket does not
  if (!make_room(flows_.full())) {
    --mapping.flows;
    counters_.count(NatEvent::flow_table_full);
    return nullptr;
  }
  UdpFlow& flow = flows_.insert(key, Direction::to_guest, loop_.now());
  flow.mapping = &mapping;
  flow.mac = *mac;
  flow.peer = first.from;
  if (first.to) {
    flow.local = *first.to;
    flow.has_local = true;
  }
  counters_.count(mapping.is_forward ? NatEvent::flows_by_forward : NatEvent::flows_opened);
  return &flow;
}

void UdpRelay::send_to_guest(const UdpFlow& flow, const UdpReceiver::Received& received) {
  const bool v6 = flow.mapping->v6;
  UdpFrameFields fields{flow.key,      v6, flow.mac, gate_.router_mac(), received.segment_size,
                        output_.mtu(), 0};
  const std::size_t step = received.segment_size;
  if (step == 0 || udp_header_size(v6) + step <= kIpOffset + output_.mtu()) {
    fields.identification = ++identification_;
    const auto frame = frame_at(received, v6, 0, received.size);
    output_.send_datagram(frame, write_udp_headers(frame, fields));
    return;
  }
  // Each in fragments of its own. Headers overwrite what has been sent.
  fields.segment_size = 0;
  for (std::size_t at = 0; at < received.size; at += step) {
    fields.identification = ++identification_;
    const auto frame = frame_at(received, v6, at, std::min(step, received.size - at));
    output_.send_datagram(frame, write_udp_headers(frame, fields));
  }
}

std::optional<UdpError> UdpRelay::next_error(UdpMapping& mapping) {
  quoted_.resize(kQuotedMax);
  return next_udp_error(mapping.fd.get(), mapping.v6, quoted_);
}

void UdpRelay::pass_errors(UdpMapping& mapping) {
  for (std::size_t i = 0; i < kErrorsPerTurn; ++i) {
    const auto error = next_error(mapping);
    if (!error) break;
    pass_error(mapping, *error);
  }
  clear_error(mapping.fd.get());
}

// What our kernel has just said about a datagram that was too long; it does not say about which.
std::uint32_t UdpRelay::mtu_of_way(UdpMapping& mapping) {
  std::uint32_t mtu = 0;
  for (std::size_t i = 0; i < kErrorsPerTurn; ++i) {
    const auto error = next_error(mapping);
    if (!error) break;
    if (error->by_router) {
      pass_error(mapping, *error);
    } else if (error->code == EMSGSIZE) {
      mtu = error->info;
    }
  }
  return mtu;
}

void UdpRelay::pass_error(const UdpMapping& mapping, const UdpError& error) {
  if (!error.by_router) return;
  const auto key = key_of(mapping, error.target);
  const UdpFlow* const flow = key ? flows_.find(*key) : nullptr;
  const auto router = this->router(mapping.v6);
  if (flow == nullptr || !router) return;
  const bool by_host = !error.offender || error.offender->is_loopback();
  counters_.count(NatEvent::errors_passed);
  tell_guest({flow->key, mapping.v6, flow->mac}, by_host ? *router : error.offender->address(),
             {error.icmp_type, error.icmp_code, error.code == EMSGSIZE ? error.info : 0},
             error.payload);
}

void UdpRelay::tell_guest(const DatagramOfGuest& about, const IpAddress& from,
                          const IcmpError& error, std::span<const std::uint8_t> payload) {
  output_.send_datagram(icmp_about_datagram(about, gate_.router_mac(), from, error,
                                            payload.first(std::min(payload.size(), kQuotedMax))));
}

}  // namespace lanyard
