// SPDX-License-Identifier: MIT
//
// What happens to packets at the NAT, counted by name: one list, from which the enumeration, the
// names shown by `status` and the storage are made. A packet that goes no further is counted under
// exactly one of the names behind `drop_`; the others tell how work was saved. Gateway thread only.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace lanyard {

// name in code, name for people
#define LANYARD_NAT_EVENTS(X)                        \
  X(packets_from_guests, "packets_from_guests")      \
  X(packets_to_guests, "packets_to_guests")          \
  X(coalesced, "segments_coalesced")                 \
  X(acks_superseded, "acknowledgements_superseded")  \
  X(merged, "segments_merged")                       \
  X(fragmented, "datagrams_fragmented")              \
  X(urgent_cleared, "urgent_cleared")                \
  X(held, "segments_held_for_order")                 \
  X(repeated, "segments_repeated")                   \
  X(flows_opened, "flows_opened")                    \
  X(flows_direct, "flows_direct")                    \
  X(flows_by_forward, "flows_by_forward")            \
  X(flows_ended_idle, "flows_ended_idle")            \
  X(flows_displaced, "flows_displaced")              \
  X(datagrams_joined, "datagrams_joined")            \
  X(errors_passed, "icmp_errors_passed")             \
  X(resets_sent, "resets_sent")                      \
  X(too_short, "drop_too_short")                     \
  X(not_ip, "drop_not_ip")                           \
  X(bad_header, "drop_bad_header")                   \
  X(bad_length, "drop_bad_length")                   \
  X(bad_checksum, "drop_bad_checksum")               \
  X(ip_options, "drop_ip_options")                   \
  X(fragment, "drop_fragment")                       \
  X(extension_header, "drop_extension_header")       \
  X(protocol, "drop_protocol")                       \
  X(foreign_source, "drop_foreign_source")           \
  X(spoofed_source, "drop_spoofed_source")           \
  X(bad_flags, "drop_bad_flags")                     \
  X(gateway_service, "drop_gateway_service")         \
  X(no_flow, "drop_no_flow")                         \
  X(out_of_order, "drop_out_of_order")               \
  X(policy_loopback, "drop_policy_loopback")         \
  X(policy_unspecified, "drop_policy_unspecified")   \
  X(policy_multicast, "drop_policy_multicast")       \
  X(policy_broadcast, "drop_policy_broadcast")       \
  X(policy_reserved, "drop_policy_reserved")         \
  X(policy_link_local, "drop_policy_link_local")     \
  X(policy_metadata, "drop_policy_metadata")         \
  X(policy_neighbour, "drop_policy_neighbour")       \
  X(policy_router, "drop_policy_router")             \
  X(policy_host_address, "drop_policy_host_address") \
  X(policy_restricted, "drop_policy_restricted")     \
  X(policy_denied, "drop_policy_denied")             \
  X(policy_not_allowed, "drop_policy_not_allowed")   \
  X(quota_flows, "drop_quota_flows")                 \
  X(quota_rate, "drop_quota_rate")                   \
  X(flow_table_full, "drop_flow_table_full")         \
  X(guest_unknown, "drop_guest_unknown")             \
  X(hops_used_up, "drop_hops_used_up")               \
  X(host_refused, "drop_host_refused")               \
  X(host_busy, "drop_host_busy")                     \
  X(unanswerable, "drop_unanswerable")               \
  X(output_queue_full, "drop_output_queue_full")     \
  X(engine_internal, "drop_engine_internal")

enum class NatEvent : std::uint8_t {
#define LANYARD_NAT_EVENT(name, text) name,
  LANYARD_NAT_EVENTS(LANYARD_NAT_EVENT)
#undef LANYARD_NAT_EVENT
};

inline constexpr std::array kNatEventNames{
#define LANYARD_NAT_EVENT(name, text) std::string_view(text),
    LANYARD_NAT_EVENTS(LANYARD_NAT_EVENT)
#undef LANYARD_NAT_EVENT
};

class NatCounters {
 public:
  void count(NatEvent event, std::uint64_t by = 1) {
    values_[static_cast<std::size_t>(event)] += by;
  }
  std::uint64_t operator[](NatEvent event) const {
    return values_[static_cast<std::size_t>(event)];
  }

 private:
  std::array<std::uint64_t, kNatEventNames.size()> values_{};
};

}  // namespace lanyard
