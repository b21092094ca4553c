// SPDX-License-Identifier: MIT
//
// Where leases are kept beyond the life of the process, seen by the DHCP server. An expiry is kept
// as wall clock time, because it is the only one that means something after a reboot; whoever reads
// it distrusts it (see DhcpServer). Gateway thread only.
#pragma once

#include <span>
#include <vector>

#include "backend/gateway/lease.h"

namespace lanyard {

class LeaseStore {
 public:
  virtual ~LeaseStore() = default;

  // What was kept. Never fails: what cannot be read is reported by the store and left out.
  virtual std::vector<Lease> load() = 0;
  // From now on this is what is known about the address. It outlives the process when this returns.
  virtual void put(const Lease& lease) = 0;
  virtual void erase(Ipv4Address address) = 0;
  // Instead of everything so far.
  virtual void replace(std::span<const Lease> leases) = 0;
};

}  // namespace lanyard
