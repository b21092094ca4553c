// SPDX-License-Identifier: MIT
#include "backend/gateway/resolver_list.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <filesystem>

#include "tests/support/temporary_directory.h"

namespace lanyard {
namespace {

using testing::TemporaryDirectory;

std::string shown(const ResolverList& list) {
  std::string text;
  for (const ResolverAddress& resolver : list.addresses) {
    text += (text.empty() ? "" : " ") + resolver.text();
  }
  return text;
}

TEST(ResolverAddress, IsReadStrictly) {
  struct {
    const char* text;
    const char* shown;  // "": refused
  } const cases[] = {
      {"192.0.2.1", "192.0.2.1"},
      {"192.0.2.1#53", "192.0.2.1"},
      {"192.0.2.1#5353", "192.0.2.1#5353"},
      {"fe80::1%eth0", "fe80::1%eth0"},
      {"fe80::1%3#5353", "fe80::1%3#5353"},
      {"2001:db8::1", "2001:db8::1"},
      {"127.0.0.53", "127.0.0.53"},
      {"192.0.2.1#0", ""},
      {"192.0.2.1#65536", ""},
      {"192.0.2.1#", ""},
      {"192.0.2.1%eth0", ""},
      {"fe80::1%", ""},
      {"fe80::1%eth0/x", ""},
      {"fe80::1%a-name-too-long-for-it", ""},
      {"192.0.2", ""},
      {"224.0.0.1", ""},
      {"ff02::1", ""},
      {"255.255.255.255", ""},
      {"dns.example.org", ""},
      {"", ""},
  };
  for (const auto& c : cases) {
    const auto resolver = ResolverAddress::parse(c.text);
    EXPECT_EQ(resolver ? resolver->text() : "", c.shown) << c.text;
  }
}

TEST(ResolvConf, IsReadAsTheCLibraryDoes) {
  struct {
    const char* text;
    const char* resolvers;
    std::uint32_t timeout_s, rounds;
    bool rotate;
  } const cases[] = {
      {"", "", 1, 2, false},
      {"nameserver 192.0.2.1\n", "192.0.2.1", 1, 2, false},
      {"nameserver 192.0.2.1", "192.0.2.1", 1, 2, false},
      {"nameserver\t192.0.2.1 trailing words\n", "192.0.2.1", 1, 2, false},
      {"# nameserver 192.0.2.1\n;nameserver 192.0.2.2\n", "", 1, 2, false},
      {"nameserver a\nnameserver 192.0.2.1#5353\nnameserver 192.0.2.2\n", "192.0.2.2", 1, 2, false},
      {"nameserver 192.0.2.1\nnameserver 192.0.2.1\n", "192.0.2.1", 1, 2, false},
      {"nameserver 1.1.1.1\nnameserver 2.2.2.2\nnameserver 3.3.3.3\nnameserver fe80::1%eth0\n",
       "1.1.1.1 2.2.2.2 3.3.3.3 fe80::1%eth0", 1, 2, false},
      {"options timeout:3 attempts:4 rotate\nnameserver ::1\n", "::1", 3, 4, true},
      {"options timeout:0 attempts:99 edns0 timeout:\n", "", 1, 5, false},
      {"options timeout:-99999999999999999999\n", "", 1, 2, false},
      {"search example.org\nnameserver\noptions\n", "", 1, 2, false},
  };
  for (const auto& c : cases) {
    const ResolverList list = parse_resolv_conf(c.text);
    EXPECT_EQ(shown(list), c.resolvers) << c.text;
    EXPECT_EQ(list.timeout_s, c.timeout_s) << c.text;
    EXPECT_EQ(list.rounds, c.rounds) << c.text;
    EXPECT_EQ(list.rotate, c.rotate) << c.text;
  }
}

TEST(ResolvConf, ManyResolversAreManyButBounded) {
  std::string text;
  for (int i = 1; i < 200; ++i) text += "nameserver 192.0.2." + std::to_string(i) + "\n";
  EXPECT_EQ(parse_resolv_conf(text).addresses.size(), ResolverList::kResolversMax);
}

TEST(Upstream, OfTheConfigurationNamesTheOneThatIsWrong) {
  const auto good = parse_upstream({"192.0.2.1", "::1#5353"});
  ASSERT_TRUE(good.ok());
  EXPECT_EQ(shown(good.value()), "192.0.2.1 ::1#5353");
  const auto bad = parse_upstream({"192.0.2.1", "dns.example.org"});
  ASSERT_FALSE(bad.ok());
  EXPECT_NE(bad.error().text.find("'dns.example.org'"), std::string::npos);
}

TEST(ResolverFile, FollowsEveryKindOfChange) {
  const TemporaryDirectory directory;
  std::filesystem::create_directories(directory / "run");
  const std::string path = directory / "resolv.conf";
  ResolverFile file(path);
  EXPECT_FALSE(file.refresh());
  EXPECT_THAT(file.problem(), ::testing::HasSubstr("No such file"));

  directory.file("resolv.conf", "nameserver 192.0.2.1\n");
  EXPECT_TRUE(file.refresh()) << "it appeared";
  EXPECT_EQ(shown(file.list()), "192.0.2.1");
  EXPECT_EQ(file.problem(), "");
  EXPECT_FALSE(file.refresh());

  directory.file("resolv.conf", "nameserver 192.0.2.2\n");
  EXPECT_TRUE(file.refresh())
      << "rewritten at once, of the same size, at what may be the same time";
  EXPECT_EQ(shown(file.list()), "192.0.2.2");

  directory.file("new", "nameserver 192.0.2.3\n");
  std::filesystem::rename(directory / "new", path);
  EXPECT_TRUE(file.refresh()) << "replaced";

  directory.file("run/a", "nameserver 192.0.2.4\n");
  directory.file("run/b", "nameserver 192.0.2.5\n");
  std::filesystem::create_symlink("run/current", directory / "link");
  std::filesystem::create_symlink("a", directory / "run/current");
  std::filesystem::rename(directory / "link", path);
  EXPECT_TRUE(file.refresh()) << "a link, to a link";
  EXPECT_EQ(shown(file.list()), "192.0.2.4");

  std::filesystem::create_symlink("b", directory / "run/next");
  std::filesystem::rename(directory / "run/next", directory / "run/current");
  EXPECT_TRUE(file.refresh()) << "a link in the path turned elsewhere";
  EXPECT_EQ(shown(file.list()), "192.0.2.5");

  directory.file("run/b", "");
  EXPECT_FALSE(file.refresh()) << "whoever emptied it just now may be about to write it";
  EXPECT_EQ(shown(file.list()), "192.0.2.5");
  const timespec old[2]{{1000, 0}, {1000, 0}};
  ::utimensat(AT_FDCWD, (directory / "run/b").c_str(), old, 0);

  std::filesystem::remove(directory / "run/b");
  EXPECT_TRUE(file.refresh()) << "gone";
  EXPECT_EQ(shown(file.list()), "");
}

TEST(ResolverFile, WhatIsNoFileIsNotWaitedFor) {
  const TemporaryDirectory directory;
  ASSERT_EQ(::mkfifo((directory / "pipe").c_str(), 0600), 0);
  ResolverFile pipe(directory / "pipe");
  EXPECT_FALSE(pipe.refresh());
  ResolverFile folder(directory.path());
  EXPECT_FALSE(folder.refresh());
  EXPECT_THAT(folder.problem(), ::testing::HasSubstr("Is a directory"));
}

}  // namespace
}  // namespace lanyard
