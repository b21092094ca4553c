// SPDX-License-Identifier: MIT
#include "backend/gateway/udp_flow_table.h"

namespace lanyard {
namespace {

constexpr std::uint16_t kDnsPort = 53;
// Asked, answered, and then the asker again.
constexpr std::uint8_t kTurnsOfConversation = 2;

}  // namespace

UdpFlow& UdpFlowTable::insert(const FlowKey& key, Direction first, Time now) {
  const auto kind = key.target_port == kDnsPort ? UdpFlow::Class::query : UdpFlow::Class::fresh;
  // Not in a list before it has a place: nobody could end it.
  std::list<UdpFlow> made(1);
  places_[key] = made.begin();
  UdpFlow& flow = made.front();
  flow.key = key;
  flow.seen = now;
  flow.kind = kind;
  flow.last = first;
  std::list<UdpFlow>& flows = list_of(kind);
  flows.splice(flows.end(), made);
  return flow;
}

void UdpFlowTable::used(UdpFlow& flow, Direction direction, std::size_t bytes, Time now) {
  (direction == Direction::from_guest ? flow.bytes_out : flow.bytes_in) += bytes;
  std::list<UdpFlow>& before = list_of(flow.kind);
  if (direction != flow.last) {
    flow.last = direction;
    if (flow.turns < kTurnsOfConversation && ++flow.turns == kTurnsOfConversation) {
      flow.kind = UdpFlow::Class::conversing;
    }
  } else if (flow.seen == now) {
    return;  // among the last ones already
  }
  flow.seen = now;
  std::list<UdpFlow>& after = list_of(flow.kind);
  after.splice(after.end(), before, places_.at(flow.key));
}

void UdpFlowTable::erase(const FlowKey& key) {
  const auto found = places_.find(key);
  if (found == places_.end()) return;
  const auto place = found->second;
  places_.erase(found);
  list_of(place->kind).erase(place);
}

UdpFlow* UdpFlowTable::expendable() {
  for (const auto kind : {UdpFlow::Class::query, UdpFlow::Class::fresh}) {
    if (!list_of(kind).empty()) return &list_of(kind).front();
  }
  return nullptr;
}

}  // namespace lanyard
