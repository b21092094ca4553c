// SPDX-License-Identifier: MIT
#include "switch/host/doctor.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <algorithm>
#include <filesystem>
#include <map>

#include "switch/base/text.h"
#include "tests/support/temporary_directory.h"

namespace lanyard {
namespace {

namespace fs = std::filesystem;

using Level = DoctorFinding::Level;

// A host where nothing is wrong, as a directory.
class DoctorTest : public ::testing::Test {
 protected:
  void SetUp() override {
    put("/dev/net/tun", "");
    ::chmod((directory_ / "dev/net/tun").c_str(), 0666);
    put("/etc/resolv.conf", "nameserver 192.0.2.53\n");
    put("/proc/sys/net/ipv4/ip_forward", "1");
    put("/proc/sys/net/unix/max_dgram_qlen", "512");
    put("/proc/sys/net/core/wmem_max", "8388608");
    put("/proc/sys/net/ipv4/ping_group_range", "0\t2147483647");
    put("/proc/sys/net/ipv6/conf/all/disable_ipv6", "0");
    context_.root = directory_.path();
    context_.groups = {1000};
    context_.user = "ann";
    context_.privileged = true;
    context_.descriptors_max = 65536;
    context_.landlock = 5;
    context_.libslirp_version = "4.7.0";
    context_.control_socket = "/run/lanyard/control";
    context_.networks = {nat(), routed()};
    context_.answers = [](const std::string&) { return true; };
    context_.run = [this](const std::vector<std::string>& command) -> std::optional<std::string> {
      const auto at = programs_.find(command[0]);
      if (at == programs_.end()) return std::nullopt;
      return at->second;
    };
    programs_["nft"] = R"({"nftables": []})";
    programs_["qemu-system-x86_64"] = "Available netdev backend types:\nsocket\nvde\ntap\n";
  }

  static NetworkConfig nat() {
    NetworkConfig network;
    network.name = "nat";
    network.kind = NetworkKind::nat;
    network.subnet = Ipv4Prefix::parse("10.0.2.0/24");
    network.dns.enabled = true;
    return network;
  }
  static NetworkConfig routed() {
    NetworkConfig network;
    network.name = "lab";
    network.kind = NetworkKind::routed;
    network.subnet = Ipv4Prefix::parse("192.168.56.0/24");
    network.host = HostInterfaceConfig{};
    network.host->name = "lanyard0";
    network.host->address = Ipv4Prefix::parse("192.168.56.1/24");
    network.host->address6 = Ipv6Prefix::parse("fd17::1/64");
    return network;
  }

  void put(const std::string& path, const std::string& text) {
    const std::string whole = directory_.path() + path;
    fs::create_directories(fs::path(whole).parent_path());
    std::ofstream(whole) << text << "\n";
  }

  // Level, words of the sentence, words of the remedy.
  void expect(Level level, std::string_view what, std::string_view remedy) {
    const auto findings = run_doctor(context_);
    std::string all;
    for (const DoctorFinding& finding : findings) {
      EXPECT_EQ(finding.level == Level::ok, finding.remedy.empty()) << finding.what;
      if (finding.level == level && finding.what.find(what) != std::string::npos &&
          finding.remedy.find(remedy) != std::string::npos) {
        return;
      }
      all +=
          fmt::format("{} {}: {}\n", static_cast<int>(finding.level), finding.what, finding.remedy);
    }
    ADD_FAILURE() << "no finding '" << what << "' with '" << remedy << "' in\n" << all;
  }

  lanyard::testing::TemporaryDirectory directory_;
  DoctorContext context_;
  std::map<std::string, std::string> programs_;
};

TEST_F(DoctorTest, AHealthyHost) {
  for (const DoctorFinding& finding : run_doctor(context_)) {
    EXPECT_EQ(finding.level, Level::ok) << finding.what;
  }
}

TEST_F(DoctorTest, NoRight) {
  context_.privileged = false;
  expect(Level::problem, "network lab needs CAP_NET_ADMIN", "sudo lanyard up");
  context_.networks[1].kind = NetworkKind::host_only;
  expect(Level::problem, "network lab needs CAP_NET_ADMIN",
         "ip tuntap add dev lanyard0 mode tap user ann");
  context_.ranges = {{*IpAddress::parse("192.168.56.1"), 24, "lanyard0", "", false},
                     {*IpAddress::parse("fd17::1"), 64, "lanyard0", "", false}};
  expect(Level::ok, "has been prepared", "");
}

TEST_F(DoctorTest, NoTun) {
  context_.privileged = false;
  ::chmod((directory_ / "dev/net/tun").c_str(), 0600);
  expect(Level::problem, "mode 0600", "chmod 666 /dev/net/tun");
  fs::remove(directory_ / "dev/net/tun");
  expect(Level::problem, "/dev/net/tun is missing", "modprobe tun");
}

TEST_F(DoctorTest, NoForwarding) {
  put("/proc/sys/net/ipv4/ip_forward", "0");
  expect(Level::note, "ip_forward is 0", "sysctl -w net.ipv4.ip_forward=1");
  context_.privileged = false;
  expect(Level::problem, "ip_forward is 0", "sysctl -w net.ipv4.ip_forward=1");
}

TEST_F(DoctorTest, ForwardDrops) {
  programs_["nft"] =
      R"({"nftables": [{"chain": {"family": "ip", "table": "filter", "name": "FORWARD",
          "hook": "forward", "policy": "drop"}}]})";
  expect(Level::note, "two rules to ip filter FORWARD", "insert rule ip filter FORWARD");
  programs_["nft"] =
      R"({"nftables": [{"chain": {"family": "inet", "table": "fw", "name": "gate",
          "hook": "forward", "policy": "drop"}}]})";
  expect(Level::problem, "chain inet fw gate drops", "insert rule inet fw gate");
  programs_.erase("nft");
  expect(Level::note, "cannot be listed", "sudo lanyard doctor");
  programs_["nft"] = "{";
  expect(Level::note, "cannot be listed", "sudo lanyard doctor");
}

TEST_F(DoctorTest, LegacyForwardDrops) {
  put("/proc/net/ip_tables_names", "filter");
  programs_["iptables-legacy"] = "-P FORWARD DROP\n";
  expect(Level::note, "FORWARD of iptables-legacy", "iptables-legacy -I FORWARD -i lanyard0");
}

TEST_F(DoctorTest, Resolvers) {
  put("/etc/resolv.conf", "# nothing\nsearch example\n");
  expect(Level::problem, "names no resolver", "nameserver");
  put("/etc/resolv.conf", "nameserver 0.0.0.0\nnameserver here\nnameserver fe80::1%eth0\n");
  expect(Level::note, "names 'here', which is no address", "sed");
  expect(Level::ok, "names 1 resolver", "");
  fs::remove(directory_ / "etc/resolv.conf");
  expect(Level::problem, "cannot be read", "nameserver");
}

TEST_F(DoctorTest, Limits) {
  put("/proc/sys/net/unix/max_dgram_qlen", "10");
  expect(Level::note, "max_dgram_qlen is 10", "sysctl -w net.unix.max_dgram_qlen=512");
  put("/proc/sys/net/core/wmem_max", "212992");
  expect(Level::note, "wmem_max is 212992", "sysctl -w net.core.wmem_max=");
  put("/proc/sys/net/ipv4/ping_group_range", "1\t0");
  expect(Level::note, "cannot ping: net.ipv4.ping_group_range is \"1 0\"",
         "ping_group_range='0 2147483647'");
  context_.descriptors_max = 1024;
  expect(Level::note, "at most 1024 descriptors", "ulimit -n");
  put("/proc/sys/net/ipv6/conf/all/disable_ipv6", "1");
  expect(Level::problem, "IPv6 is disabled", "disable_ipv6=0");
}

TEST_F(DoctorTest, Overlaps) {
  context_.ranges = {{*IpAddress::parse("192.168.48.0"), 20, "vboxnet0", "", true},
                     {*IpAddress::parse("10.0.0.0"), 8, "tun0", "", true}};
  expect(Level::problem, "192.168.56.0/24 overlaps route 192.168.48.0/20 dev vboxnet0",
         "another subnet for lab");
  expect(Level::note, "10.0.2.0/24 overlaps route 10.0.0.0/8 dev tun0", "another subnet for nat");
}

TEST_F(DoctorTest, Programs) {
  context_.libslirp_version = "4.4.0";
  expect(Level::problem, "libslirp 4.4.0 is too old", "libslirp0");
  context_.libslirp_version = "unknown";
  expect(Level::problem, "too old", "libslirp0");
  context_.libslirp_version.clear();
  expect(Level::problem, "libslirp is not there", "libslirp0");
  programs_["qemu-system-x86_64"] = "Available netdev backend types:\nsocket\ntap\n";
  expect(Level::problem, "without -netdev vde", "qemu-system-x86");
  context_.answers = [](const std::string&) { return false; };
  expect(Level::note, "no lanyardd answers at /run/lanyard/control", "lanyard up");
}

TEST_F(DoctorTest, Landlock) {
  expect(Level::ok, "Landlock 5", "");
  context_.landlock = 0;
  expect(Level::note, "no Landlock", "lsm");
}

TEST_F(DoctorTest, SandboxesAsTheKernelTellsThem) {
  context_.processes = {
      {"spawner", 10}, {"switch", 11}, {"gateway nat", 12}, {"gateway lab", 13}, {"gateway x", 14}};
  const char* const kOpen = "CapEff:\t0000000000001000\nNoNewPrivs:\t0\nSeccomp:\t0";
  put("/proc/10/status", kOpen);
  put("/proc/11/status", kOpen);
  put("/proc/12/status", "CapEff:\t0000000000000000\nNoNewPrivs:\t1\nSeccomp:\t2");
  put("/proc/13/status", kOpen);
  expect(Level::ok,
         "spawner (pid 10): system calls not filtered, may gain privileges, cap_net_admin", "");
  expect(Level::note, "switch (pid 11)", "man lanyardd");
  expect(Level::ok, "gateway nat (pid 12): system calls filtered, no new privileges", "");
  expect(Level::problem, "gateway lab (pid 13)", "LANYARD_SANDBOX");
  expect(Level::note, "gateway x (pid 14)", "sudo");
}

TEST_F(DoctorTest, ProblemsComeFirst) {
  fs::remove(directory_ / "dev/net/tun");
  put("/proc/sys/net/unix/max_dgram_qlen", "10");
  const auto findings = run_doctor(context_);
  EXPECT_TRUE(std::is_sorted(findings.begin(), findings.end(),
                             [](const auto& a, const auto& b) { return a.level > b.level; }));
  EXPECT_EQ(findings.front().level, Level::problem);
}

}  // namespace
}  // namespace lanyard
