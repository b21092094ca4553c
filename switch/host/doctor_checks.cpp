// SPDX-License-Identifier: MIT
#include "switch/host/doctor_checks.h"

#include <sys/stat.h>

#include <algorithm>

#include "switch/base/sandbox_status.h"
#include "switch/base/text.h"
#include "switch/host/host_interface.h"
#include "switch/host/sysctl.h"

namespace lanyard::doctor {
namespace {

constexpr std::int64_t kQueueLengthWanted = 512;
constexpr std::int64_t kSendBufferWanted = 4 << 20;
constexpr std::uint64_t kDescriptorsWanted = 4096;

std::optional<std::int64_t> number_in(const DoctorContext& context, const std::string& path) {
  const auto text = read_setting(context.root + path);
  return text ? parse_integer(*text) : std::nullopt;
}

bool needs_host_interface(const DoctorContext& context) {
  return std::any_of(context.networks.begin(), context.networks.end(),
                     [](const NetworkConfig& network) { return network.host.has_value(); });
}

// An administrator has made the interface and given it its addresses.
bool is_prepared(const DoctorContext& context, const HostInterfaceConfig& host) {
  const auto has = [&](const IpAddress& address, unsigned length) {
    return std::any_of(context.ranges.begin(), context.ranges.end(), [&](const HostRange& range) {
      return !range.is_route && range.interface == host.name && range.address == address &&
             range.length == length;
    });
  };
  return (!host.address || has(host.address->address, host.address->length)) &&
         (!host.address6 || has(host.address6->address, host.address6->length)) &&
         (host.address || host.address6);
}

}  // namespace

void ok(Findings& findings, std::string what) {
  findings.push_back({DoctorFinding::Level::ok, std::move(what), {}});
}

void note(Findings& findings, std::string what, std::string remedy) {
  findings.push_back({DoctorFinding::Level::note, std::move(what), std::move(remedy)});
}

void problem(Findings& findings, std::string what, std::string remedy) {
  findings.push_back({DoctorFinding::Level::problem, std::move(what), std::move(remedy)});
}

bool any_of_kind(const DoctorContext& context, NetworkKind kind) {
  return std::any_of(context.networks.begin(), context.networks.end(),
                     [kind](const NetworkConfig& network) { return network.kind == kind; });
}

void check_rights(const DoctorContext& context, Findings& findings) {
  if (context.privileged) {
    ok(findings, "CAP_NET_ADMIN is there: host interfaces can be made");
    return;
  }
  for (const NetworkConfig& network : context.networks) {
    if (!network.host) continue;
    if (network.kind != NetworkKind::routed && is_prepared(context, *network.host)) {
      ok(findings, fmt::format("interface {} of network {} has been prepared; no right is needed",
                               network.host->name, network.name));
    } else {
      problem(findings,
              fmt::format("network {} needs CAP_NET_ADMIN for interface {}, and it is not there",
                          network.name, network.host->name),
              network.kind == NetworkKind::routed
                  ? "sudo lanyard up"
                  : HostInterface::preparation(*network.host, context.user));
    }
  }
}

void check_tun(const DoctorContext& context, Findings& findings) {
  if (!needs_host_interface(context)) return;
  struct stat info {};
  if (::stat((context.root + "/dev/net/tun").c_str(), &info) != 0) {
    problem(findings, "/dev/net/tun is missing: there can be no TAP interface",
            "modprobe tun || { mkdir -p /dev/net && mknod -m 666 /dev/net/tun c 10 200; }");
  } else if (!context.privileged && (info.st_mode & 0006) != 0006) {
    problem(findings,
            fmt::format("/dev/net/tun has mode {:04o}: only root gets in", info.st_mode & 07777),
            "chmod 666 /dev/net/tun");
  } else {
    ok(findings, "/dev/net/tun can be opened");
  }
}

void check_resolver(const DoctorContext& context, Findings& findings) {
  std::vector<std::string> files;
  for (const NetworkConfig& network : context.networks) {
    const bool asks_host = network.dns.enabled && network.dns.upstream.empty();
    if (!asks_host || std::count(files.begin(), files.end(), network.dns.resolv_conf) != 0) {
      continue;
    }
    files.push_back(network.dns.resolv_conf);
  }
  for (const std::string& file : files) {
    const std::string remedy = fmt::format("echo 'nameserver 9.9.9.9' >>{}", file);
    const auto text = read_setting(context.root + file);
    if (!text) {
      problem(findings, fmt::format("{} cannot be read: guests will resolve no names", file),
              remedy);
      continue;
    }
    unsigned usable = 0;
    std::string_view rest = *text;
    while (!rest.empty()) {
      const std::size_t end = std::min(rest.find('\n'), rest.size());
      const auto words = split_words(rest.substr(0, end));
      rest.remove_prefix(std::min(end + 1, rest.size()));
      if (words.size() < 2 || words[0] != "nameserver") continue;
      const std::string_view address = words[1].substr(0, words[1].find('%'));
      const auto parsed = IpAddress::parse(address);
      if (parsed && !(parsed->is_v4() && parsed->v4().is_unspecified())) {
        ++usable;
      } else {
        note(findings, fmt::format("{} names '{}', which is no address", file, printable(words[1])),
             fmt::format("sed -i '/{}/d' {}", printable(words[1]), file));
      }
    }
    if (usable == 0) {
      problem(findings, fmt::format("{} names no resolver: guests will resolve no names", file),
              remedy);
    } else {
      ok(findings, fmt::format("{} names {} resolver{}", file, usable, usable == 1 ? "" : "s"));
    }
  }
}

void check_queue_length(const DoctorContext& context, Findings& findings) {
  const auto length = number_in(context, "/proc/sys/net/unix/max_dgram_qlen");
  if (!length) return;
  if (*length < kQueueLengthWanted) {
    note(findings,
         fmt::format("net.unix.max_dgram_qlen is {}: a VM that stops for a moment loses frames "
                     "sooner than it must",
                     *length),
         fmt::format("sysctl -w net.unix.max_dgram_qlen={}", kQueueLengthWanted));
  } else {
    ok(findings, fmt::format("net.unix.max_dgram_qlen is {}", *length));
  }
}

void check_socket_buffers(const DoctorContext& context, Findings& findings) {
  const auto bytes = number_in(context, "/proc/sys/net/core/wmem_max");
  if (!bytes) return;
  if (*bytes < kSendBufferWanted) {
    note(findings,
         fmt::format("net.core.wmem_max is {}: bursts of large frames wait for their receiver",
                     *bytes),
         fmt::format("sysctl -w net.core.wmem_max={}", kSendBufferWanted));
  } else {
    ok(findings, fmt::format("net.core.wmem_max is {}", *bytes));
  }
}

void check_ping(const DoctorContext& context, Findings& findings) {
  if (!any_of_kind(context, NetworkKind::nat)) return;
  const auto text = read_setting(context.root + "/proc/sys/net/ipv4/ping_group_range");
  if (!text) return;
  const auto words = split_words(*text);
  const auto first = words.size() == 2 ? parse_integer(words[0]) : std::nullopt;
  const auto last = words.size() == 2 ? parse_integer(words[1]) : std::nullopt;
  const bool allowed =
      first && last && std::any_of(context.groups.begin(), context.groups.end(), [&](gid_t group) {
        return *first <= std::int64_t{group} && std::int64_t{group} <= *last;
      });
  if (allowed) {
    ok(findings, "guests may ping: net.ipv4.ping_group_range has our group");
  } else {
    note(findings,
         fmt::format("guests of nat networks cannot ping: net.ipv4.ping_group_range is \"{}\"",
                     fmt::join(words, " ")),
         "sysctl -w net.ipv4.ping_group_range='0 2147483647'");
  }
}

void check_descriptors(const DoctorContext& context, Findings& findings) {
  if (context.descriptors_max < kDescriptorsWanted) {
    note(findings,
         fmt::format("at most {} descriptors may be open: each connection through NAT is one",
                     context.descriptors_max),
         "ulimit -n 65536   # or LimitNOFILE=65536 in the unit");
  } else {
    ok(findings, fmt::format("{} descriptors may be open", context.descriptors_max));
  }
}

void check_ipv6(const DoctorContext& context, Findings& findings) {
  const bool wanted = std::any_of(
      context.networks.begin(), context.networks.end(), [](const NetworkConfig& network) {
        return network.host.has_value() && network.host->address6.has_value();
      });
  if (!wanted) return;
  const auto disabled = number_in(context, "/proc/sys/net/ipv6/conf/all/disable_ipv6");
  if (disabled == 0) return;
  problem(findings,
          disabled ? "IPv6 is disabled on this host, and a network has an IPv6 address for it"
                   : "this kernel has no IPv6, and a network has an IPv6 address for the host",
          disabled ? "sysctl -w net.ipv6.conf.all.disable_ipv6=0"
                   : "lanyard check   # after address6 = \"none\" below [network.NAME.host]");
}

void check_landlock(const DoctorContext& context, Findings& findings) {
  if (context.landlock > 0) {
    ok(findings, fmt::format("this kernel has Landlock {}: a sandbox restricts paths, too",
                             context.landlock));
  } else {
    note(findings,
         "this kernel has no Landlock: what is in a sandbox can open the files of its user",
         "cat /sys/kernel/security/lsm   # add landlock to lsm= on the kernel's command line");
  }
}

// As the kernel says of each; a daemon's own word is none here.
void check_sandboxes(const DoctorContext& context, Findings& findings) {
  for (const DoctorProcess& process : context.processes) {
    const auto status = read_sandbox_status(process.pid, context.root + "/proc");
    const std::string what = fmt::format("{} (pid {})", process.what, process.pid);
    if (!status) {
      note(findings, fmt::format("{}: what confines it cannot be read", what),
           "sudo lanyard doctor");
    } else if (status->confined() || process.what == "spawner") {
      ok(findings, fmt::format("{}: {}", what, status->text()));
    } else if (process.what == "switch") {
      note(findings, fmt::format("{}: {}: it is not confined", what, status->text()),
           "man lanyardd   # SECURITY CONSIDERATIONS: LANYARD_SANDBOX, and plugs that fit in none");
    } else {
      problem(findings, fmt::format("{}: {}: its sandbox is off", what, status->text()),
              "unset LANYARD_SANDBOX   # where lanyardd is started; then start it again");
    }
  }
}

}  // namespace lanyard::doctor
