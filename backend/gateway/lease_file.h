// SPDX-License-Identifier: MIT
//
// The lease file of a network: a journal, a line a change, each with a checksum. A crash can cut it
// at any byte and loses at most the change that was being written; a line that is damaged is left
// out, what stands behind it counts. When the lines outnumber the leases it is written anew beside
// itself and renamed.
//
// When is it on the disk? A change is handed to the kernel before the guest hears of it, so killing
// the process loses nothing. It is not synced: that takes up to a tenth of a second on a slow disk,
// in the thread that also moves the guests' connections. What a power cut then takes with it, it
// takes together with the guests, which live on the same host; they come back asking for the
// address they had, and the server grants it (DhcpServer, INIT-REBOOT). The new file is synced
// before its rename, because otherwise a power cut could leave an empty file where a good one was.
//
// A file that is no lease file at all is set aside (NAME.damaged) and reported; it is never a
// reason not to start. One that can be read and not written is read; when no other can be put in
// its place either, that is reported once, and leases live in memory. Gateway thread only.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "backend/gateway/lease_store.h"
#include "switch/base/fd.h"
#include "switch/base/log.h"

namespace lanyard {

// One line without its newline, and back: nullopt when the checksum or anything else is wrong.
std::string lease_line(const Lease& lease);
std::string lease_erased_line(Ipv4Address address);
struct LeaseChange {
  Ipv4Address address;
  std::optional<Lease> lease;  // nullopt: erased
};
std::optional<LeaseChange> parse_lease_line(std::string_view line);

class LeaseFile final : public LeaseStore {
 public:
  // In an existing directory; the file need not be there.
  LeaseFile(std::string path, Log& log);

  std::vector<Lease> load() override;
  void put(const Lease& lease) override;
  void erase(Ipv4Address address) override;
  void replace(std::span<const Lease> leases) override;

 private:
  bool read(std::string_view content);
  void apply(LeaseChange change);
  void append(std::string line);
  bool write_anew();
  void set_aside(std::string_view why);
  void report(std::string_view what);

  std::string path_;
  Log& log_;
  std::map<Ipv4Address, Lease> leases_;  // what the file says
  std::size_t lines_ = 0;
  UniqueFd file_;
  bool incomplete_ = false;  // a line could not be written: the file has to be written anew
  bool reported_ = false;    // that it cannot be written
};

}  // namespace lanyard
