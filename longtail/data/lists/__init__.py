"""Lists that name pictures and their classes: a table of one's own, and what other programs export.

    reading            which form a file has, by its content, and its rows
    rows               what every form gives: a row for each picture, or for each region of one
    text               a file as text or as a table, in whatever encoding and with whatever separator
    workbook           the sheet of a workbook of Excel as text
    own_table          a table of one's own, with the columns path and label
    darwin_core        downloads of GBIF, and archives such as iNaturalist's
    wildlife_insights  images.csv of Wildlife Insights
    inaturalist        the csv of iNaturalist's export of observations
    coco               COCO, and COCO Camera Traps
    megadetector       the json of MegaDetector, with the classes of a classifier where it has them
    speciesnet         the json of SpeciesNet, the classifier of Wildlife Insights
    camtrap_dp         packages of camera traps: Camtrap DP
    label_studio       the JSON of Label Studio
    cvat               CVAT for images 1.1
    published          the lists of a data set, such as those of ImageNet-LT, and iNaturalist's json

`data.collection` finds the files that the rows name. Nothing here opens a picture or imports anything heavy, since a
list is read each time the workflow plans.

Facts that a newcomer needs:

- A form says by itself what it can: which column is the path, what a region's numbers mean. Where it leaves that open,
  it is refused with a sentence that names the setting; no form is guessed from a file's name.
- What a form leaves out, such as a picture without an animal, becomes a note, and `data.collection` makes it a finding.
"""
