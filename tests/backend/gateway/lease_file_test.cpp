// SPDX-License-Identifier: MIT
#include "backend/gateway/lease_file.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <map>

#include "tests/support/fake_log.h"
#include "tests/support/killed_child.h"
#include "tests/support/random.h"
#include "tests/support/temporary_directory.h"

namespace lanyard {
namespace {

using testing::content_of;
using testing::FakeLog;
using testing::TemporaryDirectory;

Lease lease(std::uint32_t n, std::string name = "box") {
  Lease l;
  l.address = Ipv4Address::from_number(0x0a000200 + n);
  l.mac = MacAddress::from_number(0x525400000000 + n);
  l.client_id = std::string("\1\0\xff id", 6) + std::to_string(n);
  l.name = std::move(name);
  l.expires_s = 1'700'000'000 + n;
  l.lease_time_s = 86400;
  return l;
}

Lease declined(std::uint32_t n) {
  Lease l;
  l.address = Ipv4Address::from_number(0x0a000200 + n);
  l.mac = MacAddress::from_number(0x525400000000 + n);
  l.state = LeaseState::declined;
  l.expires_s = 1'700'000'000 + n;
  return l;
}

TEST(LeaseFile, ALineReadsBackAsItself) {
  for (const Lease& l : {lease(1), lease(2, ""), declined(3)}) {
    const auto change = parse_lease_line(lease_line(l));
    ASSERT_TRUE(change);
    EXPECT_EQ(change->lease, l);
  }
  const auto erased = parse_lease_line(lease_erased_line(lease(3).address));
  ASSERT_TRUE(erased);
  EXPECT_EQ(erased->address, lease(3).address);
  EXPECT_FALSE(erased->lease);
}

TEST(LeaseFile, ALineThatLostOrChangedAnythingIsNone) {
  const std::string line = lease_line(lease(1));
  for (std::size_t size = 0; size < line.size(); ++size) {
    EXPECT_FALSE(parse_lease_line(line.substr(0, size))) << size;
  }
  for (std::size_t at = 0; at < line.size(); ++at) {
    std::string bent = line;
    bent[at] = static_cast<char>(bent[at] ^ 1);
    EXPECT_FALSE(parse_lease_line(bent)) << at;
  }
}

TEST(LeaseFile, KeepsWhatItWasToldAcrossAStart) {
  const TemporaryDirectory directory;
  FakeLog log;
  {
    LeaseFile file(directory / "leases", log);
    EXPECT_TRUE(file.load().empty());
    file.put(lease(1));
    file.put(lease(2));
    file.put(lease(1, "renamed"));
    file.put(lease(3));
    file.erase(lease(2).address);
  }
  LeaseFile file(directory / "leases", log);
  EXPECT_EQ(file.load(), (std::vector<Lease>{lease(1, "renamed"), lease(3)}));
  file.replace(std::vector<Lease>{lease(9)});
  LeaseFile again(directory / "leases", log);
  EXPECT_EQ(again.load(), std::vector<Lease>{lease(9)});
  EXPECT_TRUE(log.lines.empty()) << log.text();
}

// Whatever byte the last write reached: all whole changes before it are there.
TEST(LeaseFile, SurvivesACutAtEveryByte) {
  const TemporaryDirectory directory("/dev/shm");  // a thousand files that nobody waits for
  FakeLog log;
  const std::string path = directory / "leases";
  std::vector<std::pair<std::size_t, std::vector<Lease>>> states;  // by the size of the file then
  {
    LeaseFile file(path, log);
    file.load();
    std::map<Ipv4Address, Lease> model;
    const auto note = [&] {
      std::vector<Lease> all;
      for (const auto& [address, l] : model) all.push_back(l);
      states.emplace_back(content_of(path).size(), all);
    };
    states.emplace_back(0, std::vector<Lease>{});
    note();
    for (std::uint32_t n = 0; n < 6; ++n) {
      const Lease l = lease(n % 4, "n" + std::to_string(n));
      file.put(l);
      model[l.address] = l;
      note();
    }
    file.erase(lease(2).address);
    model.erase(lease(2).address);
    note();
  }
  const std::string whole = content_of(path);
  for (std::size_t size = 0; size <= whole.size(); ++size) {
    std::vector<Lease> expected;
    for (const auto& [then, all] : states) {
      // The newline that ends a change is not needed to read it.
      if (then <= size + 1) expected = all;
    }
    const std::string cut = directory.file("cut", whole.substr(0, size));
    LeaseFile file(cut, log);
    ASSERT_EQ(file.load(), expected) << "cut at " << size;
    file.put(lease(77));  // and what is written then is read as well
    expected.push_back(lease(77));
    LeaseFile again(cut, log);
    ASSERT_EQ(again.load(), expected) << "cut at " << size;
  }
  EXPECT_FALSE(std::filesystem::exists(directory / "cut.damaged")) << log.text();
}

// What the file holds after the work was killed before each of its system calls in turn.
template <typename Work>
void expect_after_each_kill(Work work, const std::vector<Lease>& before,
                            const std::vector<Lease>& after) {
  bool killed = true;
  for (int calls = 0; killed; ++calls) {
    const TemporaryDirectory directory;
    FakeLog log;
    LeaseFile(directory / "leases", log).replace(before);
    killed = testing::dies_before_call(calls, [&] {
      LeaseFile file(directory / "leases", log);
      file.load();
      work(file);
    });
    LeaseFile file(directory / "leases", log);
    const std::vector<Lease> found = file.load();
    EXPECT_TRUE(found == after || (killed && found == before)) << "before call " << calls;
    EXPECT_FALSE(std::filesystem::exists(directory / "leases.damaged")) << log.text();
    file.put(lease(9));
    EXPECT_EQ(LeaseFile(directory / "leases", log).load().size(), found.size() + 1);
    ASSERT_LT(calls, 1000) << "there is no end of calls";
  }
}

TEST(LeaseFile, HoldsOldOrNewWhereverAnAppendIsKilled) {
  expect_after_each_kill([](LeaseFile& file) { file.put(lease(3)); }, {lease(1), lease(2)},
                         {lease(1), lease(2), lease(3)});
}

TEST(LeaseFile, HoldsOldOrNewWhereverARewriteIsKilled) {
  const std::vector<Lease> after{lease(4), lease(5, "other")};
  expect_after_each_kill([&](LeaseFile& file) { file.replace(after); }, {lease(1), lease(2)},
                         after);
}

TEST(LeaseFile, WhatIsNoLeaseFileIsSetAsideAndReported) {
  const TemporaryDirectory directory;
  std::string noise(5000, '\0');
  testing::Random random;
  for (char& c : noise) c = static_cast<char>(random.number());
  for (const std::string& content : {std::string("hello\nworld\n"), noise, std::string(100, '\0'),
                                     std::string("{\"leases\": []}")}) {
    FakeLog log;
    const std::string path = directory.file("leases", content);
    LeaseFile file(path, log);
    EXPECT_TRUE(file.load().empty());
    EXPECT_EQ(content_of(path + ".damaged"), content);
    EXPECT_EQ(log.lines.size(), 1U) << log.text();
    file.put(lease(1));
    LeaseFile again(path, log);
    EXPECT_EQ(again.load().size(), 1U);
  }
}

TEST(LeaseFile, DamageInTheMiddleCostsOnlyItsLines) {
  const TemporaryDirectory directory;
  FakeLog log;
  std::string content = "lanyard leases 1\n";
  for (std::uint32_t n = 0; n < 10; ++n) content += lease_line(lease(n)) + '\n';
  content.replace(content.size() / 2, 150, std::string(150, 'x'));
  LeaseFile file(directory.file("leases", content), log);
  EXPECT_GE(file.load().size(), 7U);
  EXPECT_TRUE(log.contains("cannot be read"));
}

TEST(LeaseFile, StaysSmallWhenLeasesAreRenewed) {
  const TemporaryDirectory directory;
  FakeLog log;
  LeaseFile file(directory / "leases", log);
  file.load();
  for (std::uint32_t i = 0; i < 100'000; ++i) file.put(lease(i % 10));
  EXPECT_LT(content_of(directory / "leases").size(), 3'000'000U);
  EXPECT_EQ(LeaseFile(directory / "leases", log).load().size(), 10U);
}

TEST(LeaseFile, WhatCannotBeReadOrWrittenIsReportedOnceAndNoReasonToStop) {
  const TemporaryDirectory directory;
  FakeLog log;
  LeaseFile nowhere(directory / "missing/leases", log);
  EXPECT_TRUE(nowhere.load().empty());
  for (std::uint32_t n = 0; n < 5; ++n) nowhere.put(lease(n));
  EXPECT_EQ(log.lines.size(), 1U) << log.text();
  std::filesystem::create_directory(directory / "missing");
  nowhere.put(lease(5));  // and then it is all there
  EXPECT_EQ(LeaseFile(directory / "missing/leases", log).load().size(), 6U);

  std::filesystem::create_directory(directory / "dir");
  EXPECT_TRUE(LeaseFile(directory / "dir", log).load().empty());
  ASSERT_EQ(::mkfifo((directory / "fifo").c_str(), 0600), 0);
  EXPECT_TRUE(LeaseFile(directory / "fifo", log).load().empty()) << "and it does not wait";
}

// Root may write everything, so somebody else does this.
class AsNobody {
 public:
  AsNobody() { was_root_ = ::geteuid() == 0 && ::seteuid(65534) == 0; }
  ~AsNobody() {
    if (was_root_) (void)!::seteuid(0);
  }
  AsNobody(const AsNobody&) = delete;
  AsNobody& operator=(const AsNobody&) = delete;

 private:
  bool was_root_ = false;
};

TEST(LeaseFile, WhatCanOnlyBeReadIsReadAndStaysWhereItIs) {
  const TemporaryDirectory directory;
  const std::string content = "lanyard leases 1\n" + lease_line(lease(1)) + '\n';
  const std::string path = directory.file("leases", content);
  ASSERT_EQ(::chmod(path.c_str(), 0444), 0);
  ASSERT_EQ(::chmod((directory / "").c_str(), 0555), 0);
  {
    const AsNobody nobody;
    FakeLog log;
    LeaseFile file(path, log);
    EXPECT_EQ(file.load(), std::vector<Lease>{lease(1)});
    file.put(lease(2));
    EXPECT_EQ(log.lines.size(), 1U) << log.text();
    EXPECT_TRUE(log.contains("cannot be written")) << log.text();
  }
  ASSERT_EQ(::chmod((directory / "").c_str(), 0700), 0);
  EXPECT_EQ(content_of(path), content);
  EXPECT_FALSE(std::filesystem::exists(path + ".damaged"));
}

}  // namespace
}  // namespace lanyard
