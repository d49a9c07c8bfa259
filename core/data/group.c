/* Superclasses: what the classes of known data sets have in common. */
#include "core/data/group.h"

#define ANIMAL  "animal"
#define VEHICLE "vehicle"
const char *const cifar10_groups[10] = {VEHICLE, VEHICLE, ANIMAL, ANIMAL,  ANIMAL,
                                        ANIMAL,  ANIMAL,  ANIMAL, VEHICLE, VEHICLE};

/* Krizhevsky's 20, by the number of the fine class, which is the order of their names. */
#define AQUATIC       "aquatic_mammals"
#define FISH          "fish"
#define FLOWERS       "flowers"
#define CONTAINERS    "food_containers"
#define FRUIT         "fruit_and_vegetables"
#define DEVICES       "household_electrical_devices"
#define FURNITURE     "household_furniture"
#define INSECTS       "insects"
#define CARNIVORES    "large_carnivores"
#define BUILDINGS     "large_man-made_outdoor_things"
#define SCENES        "large_natural_outdoor_scenes"
#define HERBIVORES    "large_omnivores_and_herbivores"
#define MEDIUM        "medium_mammals"
#define INVERTEBRATES "non-insect_invertebrates"
#define PEOPLE        "people"
#define REPTILES      "reptiles"
#define SMALL         "small_mammals"
#define TREES         "trees"
#define VEHICLES_1    "vehicles_1"
#define VEHICLES_2    "vehicles_2"
const char *const cifar100_groups[100] = {
        FRUIT,      FISH,          PEOPLE,        CARNIVORES,    AQUATIC,    FURNITURE,
        INSECTS,    INSECTS,       VEHICLES_1,    CONTAINERS,    CONTAINERS, PEOPLE,
        BUILDINGS,  VEHICLES_1,    INSECTS,       HERBIVORES,    CONTAINERS, BUILDINGS,
        INSECTS,    HERBIVORES,    FURNITURE,     HERBIVORES,    DEVICES,    SCENES,
        INSECTS,    FURNITURE,     INVERTEBRATES, REPTILES,      CONTAINERS, REPTILES,
        AQUATIC,    HERBIVORES,    FISH,          SCENES,        MEDIUM,     PEOPLE,
        SMALL,      BUILDINGS,     HERBIVORES,    DEVICES,       DEVICES,    VEHICLES_2,
        CARNIVORES, CARNIVORES,    REPTILES,      INVERTEBRATES, PEOPLE,     TREES,
        VEHICLES_1, SCENES,        SMALL,         FRUIT,         TREES,      FRUIT,
        FLOWERS,    AQUATIC,       TREES,         FRUIT,         VEHICLES_1, TREES,
        SCENES,     CONTAINERS,    FLOWERS,       MEDIUM,        MEDIUM,     SMALL,
        MEDIUM,     FISH,          BUILDINGS,     VEHICLES_2,    FLOWERS,    SCENES,
        AQUATIC,    FISH,          SMALL,         MEDIUM,        BUILDINGS,  INVERTEBRATES,
        REPTILES,   INVERTEBRATES, SMALL,         VEHICLES_2,    FLOWERS,    FRUIT,
        FURNITURE,  VEHICLES_2,    DEVICES,       DEVICES,       CARNIVORES, VEHICLES_2,
        VEHICLES_1, FISH,          FLOWERS,       REPTILES,      FURNITURE,  AQUATIC,
        TREES,      CARNIVORES,    PEOPLE,        INVERTEBRATES};
