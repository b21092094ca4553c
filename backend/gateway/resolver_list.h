// SPDX-License-Identifier: MIT
//
// The host's resolvers, as resolv.conf(5) names them. All of them count, not only three.
//
// What makes it hard: the file changes under us, by being replaced, rewritten in place, or by a
// link in its path being turned elsewhere (systemd, VPNs). It is looked at before it matters, with
// one stat(2) for a query that goes out, so a change holds for the next query, however it was made
// and on whatever file system; there is nothing to watch and nothing to miss. A file of the last
// second may change again without its times showing it, so it is read again until it has settled.
// Any one thread.
#pragma once

#include <sys/stat.h>

#include <cstdint>
#include <ctime>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "switch/base/result.h"
#include "switch/network/ip_address.h"

namespace lanyard {

struct ResolverAddress {
  IpAddress address;
  std::string zone;  // of a link-local IPv6 address: an interface, by name or number
  std::uint16_t port = 53;

  // "192.0.2.1", "fe80::1%eth0", "192.0.2.1#5353".
  static std::optional<ResolverAddress> parse(std::string_view text);
  std::string text() const;
  friend bool operator==(const ResolverAddress&, const ResolverAddress&) = default;
};

struct ResolverList {
  static constexpr std::size_t kResolversMax = 16;

  std::vector<ResolverAddress> addresses;  // each once
  std::uint32_t timeout_s = 1;             // for one resolver, before the next one is asked: 1 to 5
  std::uint32_t rounds = 2;                // through all of them: 1 to 5
  bool rotate = false;
  friend bool operator==(const ResolverList&, const ResolverList&) = default;
};

// Lines that mean nothing, and addresses that are none, are skipped, as the C library does.
// "options timeout:N attempts:N rotate" count; without timeout it is 1 s and not the C library's 5,
// because guests have given up by then.
ResolverList parse_resolv_conf(std::string_view text);

// "ADDRESS" or "ADDRESS#PORT" each. EINVAL with the first that is not.
Result<ResolverList> parse_upstream(const std::vector<std::string>& upstream);

class ResolverFile {
 public:
  explicit ResolverFile(std::string path) : path_(std::move(path)) {}

  // Looks whether the file has changed; true when the list is another one.
  bool refresh();
  const ResolverList& list() const { return list_; }
  const std::string& path() const { return path_; }
  // Why the list is empty: no such file, nothing in it.
  const std::string& problem() const { return problem_; }

 private:
  struct Stamp {
    dev_t device = 0;
    ino_t inode = 0;
    off_t size = -1;
    timespec modified{};
    timespec changed{};
    bool operator==(const Stamp& other) const;
  };

  std::string path_;
  std::optional<Stamp> stamp_;
  bool settled_ = false;
  ResolverList list_;
  std::string problem_;
};

}  // namespace lanyard
