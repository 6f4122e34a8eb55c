// Stands in for download_curl.cpp in builds without libcurl.
#include "core/error.h"
#include "data/download.h"

namespace gradus {

void download_file(const DownloadRequest& request) {
  fail(ErrorKind::backend, "download", request.urls.empty() ? request.path : request.urls.front(),
       " cannot be loaded by this build: load it by other means to ", request.path,
       ", or install libcurl4-openssl-dev and build with -Ddownload=enabled");
}

}  // namespace gradus
