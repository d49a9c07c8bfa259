/* How a launch reads files and data sets, and brings files into the artifact store. */
#ifndef COORDINATOR_IMPORT_H
#define COORDINATOR_IMPORT_H
#include "coordinator/study.h"

/* Reads on this machine; files are copied below `folder`, which must outlive what is returned. */
struct study_files import_files(const char *folder);

/* Where the bytes of that name lie below the store's folder.  The caller's to free. */
char *import_path(const char *folder, const char *sha256);
#endif
