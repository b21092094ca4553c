// SPDX-License-Identifier: MIT
#include "backend/record_file.h"

#include <gtest/gtest.h>
#include <sys/resource.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <iterator>

#include "tests/support/temporary_directory.h"

namespace lanyard {
namespace {

using testing::TemporaryDirectory;

constexpr std::size_t kFileHeader = 24;
constexpr std::size_t kFrameHeader = 16;
constexpr std::size_t kFrame = 100;
constexpr std::size_t kRecord = kFrameHeader + kFrame;
constexpr timespec kNow{1'000'000'000, 5};

// Files of this process end here, as they do on a disk that is full.
class FileLimit {
 public:
  explicit FileLimit(std::size_t bytes) : handler_(::signal(SIGXFSZ, SIG_IGN)) {
    ::getrlimit(RLIMIT_FSIZE, &before_);
    const rlimit limit{bytes, before_.rlim_max};
    ::setrlimit(RLIMIT_FSIZE, &limit);
  }
  ~FileLimit() {
    ::setrlimit(RLIMIT_FSIZE, &before_);
    ::signal(SIGXFSZ, handler_);
  }
  FileLimit(const FileLimit&) = delete;
  FileLimit& operator=(const FileLimit&) = delete;

 private:
  rlimit before_{};
  void (*handler_)(int);
};

class RecordFileTest : public ::testing::Test {
 protected:
  RecordFile create() { return RecordFile::create(path_).take(); }
  static Result<void> add(RecordFile& file) {
    std::array<std::uint8_t, kFrame> frame{};
    frame.fill(0x5a);
    return file.add(frame, kNow);
  }
  std::uintmax_t size() const { return std::filesystem::file_size(path_); }

  TemporaryDirectory directory_;
  const std::string path_ = directory_ / "file";
};

TEST_F(RecordFileTest, IsThereWithItsHeaderBeforeAFrameIs) {
  const RecordFile file = create();
  EXPECT_EQ(size(), kFileHeader);
  EXPECT_EQ(file.size(), kFileHeader);
  const auto mode = std::filesystem::status(path_).permissions();
  EXPECT_EQ(mode, std::filesystem::perms::owner_read | std::filesystem::perms::owner_write);
}

TEST_F(RecordFileTest, HoldsFramesOnceTheyAreFlushed) {
  RecordFile file = create();
  EXPECT_TRUE(add(file));
  EXPECT_TRUE(add(file));
  EXPECT_EQ(file.frames(), 0U);
  EXPECT_EQ(file.size(), kFileHeader + 2 * kRecord);
  EXPECT_TRUE(file.flush());
  EXPECT_EQ(file.frames(), 2U);
  EXPECT_EQ(size(), kFileHeader + 2 * kRecord);

  std::ifstream stream(path_, std::ios::binary);
  const std::string bytes{std::istreambuf_iterator<char>(stream), {}};
  EXPECT_EQ(bytes.substr(kFileHeader + kFrameHeader, kFrame), std::string(kFrame, '\x5a'));
}

TEST_F(RecordFileTest, WritesWithoutBeingToldOnceThereIsEnough) {
  RecordFile file = create();
  for (int i = 0; i < 1000; ++i) ASSERT_TRUE(add(file));
  EXPECT_GT(file.frames(), 500U);
}

TEST_F(RecordFileTest, EndsWithTheLastWholeFrameWhereverTheDiskIsFull) {
  // Limit of the file, frames that are in it then.
  constexpr std::array<std::array<std::size_t, 2>, 7> kCases{{
      {kFileHeader, 0},
      {kFileHeader + 1, 0},
      {kFileHeader + kFrameHeader, 0},
      {kFileHeader + kRecord - 1, 0},
      {kFileHeader + kRecord, 1},
      {kFileHeader + 2 * kRecord + kFrameHeader + 1, 2},
      {kFileHeader + 9 * kRecord + kFrameHeader - 1, 9},
  }};
  for (const auto& [limit, whole] : kCases) {
    RecordFile file = create();
    for (int i = 0; i < 10; ++i) ASSERT_TRUE(add(file));
    const FileLimit full(limit);
    const Result<void> flushed = file.flush();
    ASSERT_FALSE(flushed) << limit;
    EXPECT_EQ(flushed.error().code, EFBIG) << limit;
    EXPECT_EQ(file.frames(), whole) << limit;
    EXPECT_EQ(file.lost(), 10 - whole) << limit;
    EXPECT_EQ(size(), kFileHeader + whole * kRecord) << limit;
  }
}

TEST_F(RecordFileTest, KeepsWhatWasWrittenBefore) {
  RecordFile file = create();
  ASSERT_TRUE(add(file));
  ASSERT_TRUE(file.flush());
  ASSERT_TRUE(add(file));
  const FileLimit full(kFileHeader + kRecord + 5);
  EXPECT_FALSE(file.flush());
  EXPECT_EQ(file.frames(), 1U);
  EXPECT_EQ(file.lost(), 1U);
  EXPECT_EQ(size(), kFileHeader + kRecord);
}

TEST_F(RecordFileTest, SaysWhyItCannotBeBegun) {
  const FileLimit full(kFileHeader - 1);
  const Result<RecordFile> none = RecordFile::create(path_);
  ASSERT_FALSE(none);
  EXPECT_EQ(none.error().code, ENOSPC) << "of the header a part was written";
  EXPECT_EQ(size(), 0U);
  EXPECT_FALSE(RecordFile::create(directory_ / "none/file"));
}

TEST_F(RecordFileTest, IsNeverWrittenThroughALink) {
  std::filesystem::create_symlink("victim", path_);
  EXPECT_FALSE(RecordFile::create(path_));
  EXPECT_FALSE(std::filesystem::exists(directory_ / "victim"));
}

}  // namespace
}  // namespace lanyard
