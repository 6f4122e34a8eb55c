# gnuplot heat_maps.gp makes heat_maps.svg; with -e "format='png'", heat_maps.png
if (!exists("format")) format = 'svg'
if (format eq 'svg') {
  set terminal svg noenhanced background 'white' size 1400,750
} else {
  if (strstrt(GPVAL_TERMINALS, 'pngcairo')) {
    set terminal pngcairo noenhanced size 1400,750
  } else {
    set terminal png noenhanced size 1400,750
  }
}
set output 'heat_maps.'.format
set datafile separator ','
heading = "P - I from -1.6e+00 (blue) to 1.6e+00 (red): start, middle and end"."\n"."Figure 5: the matrices that FOP learns; CIFAR-10 (JPEG q75), cpu scale (20000 training images, 25 epochs of batches of 64 with momentum's learning rate in"."\n"."proportion, no dropout, seed 0)"
set palette defined (-1 '#2166ac', 0 '#ffffff', 1 '#b2182b')
set cbrange [-1.6e+00:1.6e+00]
unset key
unset title
set size ratio 1
set xrange [-0.5:8.5]
set yrange [8.5:-0.5]
unset xtics
unset ytics
unset colorbox
set multiplot layout 3, 7 title heading
set title 'conv1, step 391'
plot 'matrices.csv' using (strcol(1) eq 'conv1' && $2 == 391 ? $4 : NaN):($3):($4 - 0.5):($4 + 0.5):($3 - 0.5):($3 + 0.5):($5 - ($3 == $4)) every ::1 with boxxyerror fillstyle solid noborder linecolor palette
set title 'conv2, step 391'
plot 'matrices.csv' using (strcol(1) eq 'conv2' && $2 == 391 ? $4 : NaN):($3):($4 - 0.5):($4 + 0.5):($3 - 0.5):($3 + 0.5):($5 - ($3 == $4)) every ::1 with boxxyerror fillstyle solid noborder linecolor palette
set title 'conv3, step 391'
plot 'matrices.csv' using (strcol(1) eq 'conv3' && $2 == 391 ? $4 : NaN):($3):($4 - 0.5):($4 + 0.5):($3 - 0.5):($3 + 0.5):($5 - ($3 == $4)) every ::1 with boxxyerror fillstyle solid noborder linecolor palette
set title 'conv4, step 391'
plot 'matrices.csv' using (strcol(1) eq 'conv4' && $2 == 391 ? $4 : NaN):($3):($4 - 0.5):($4 + 0.5):($3 - 0.5):($3 + 0.5):($5 - ($3 == $4)) every ::1 with boxxyerror fillstyle solid noborder linecolor palette
set title 'conv5, step 391'
plot 'matrices.csv' using (strcol(1) eq 'conv5' && $2 == 391 ? $4 : NaN):($3):($4 - 0.5):($4 + 0.5):($3 - 0.5):($3 + 0.5):($5 - ($3 == $4)) every ::1 with boxxyerror fillstyle solid noborder linecolor palette
set title 'conv6, step 391'
plot 'matrices.csv' using (strcol(1) eq 'conv6' && $2 == 391 ? $4 : NaN):($3):($4 - 0.5):($4 + 0.5):($3 - 0.5):($3 + 0.5):($5 - ($3 == $4)) every ::1 with boxxyerror fillstyle solid noborder linecolor palette
set title 'conv7, step 391'
plot 'matrices.csv' using (strcol(1) eq 'conv7' && $2 == 391 ? $4 : NaN):($3):($4 - 0.5):($4 + 0.5):($3 - 0.5):($3 + 0.5):($5 - ($3 == $4)) every ::1 with boxxyerror fillstyle solid noborder linecolor palette
set title 'conv1, step 4301'
plot 'matrices.csv' using (strcol(1) eq 'conv1' && $2 == 4301 ? $4 : NaN):($3):($4 - 0.5):($4 + 0.5):($3 - 0.5):($3 + 0.5):($5 - ($3 == $4)) every ::1 with boxxyerror fillstyle solid noborder linecolor palette
set title 'conv2, step 4301'
plot 'matrices.csv' using (strcol(1) eq 'conv2' && $2 == 4301 ? $4 : NaN):($3):($4 - 0.5):($4 + 0.5):($3 - 0.5):($3 + 0.5):($5 - ($3 == $4)) every ::1 with boxxyerror fillstyle solid noborder linecolor palette
set title 'conv3, step 4301'
plot 'matrices.csv' using (strcol(1) eq 'conv3' && $2 == 4301 ? $4 : NaN):($3):($4 - 0.5):($4 + 0.5):($3 - 0.5):($3 + 0.5):($5 - ($3 == $4)) every ::1 with boxxyerror fillstyle solid noborder linecolor palette
set title 'conv4, step 4301'
plot 'matrices.csv' using (strcol(1) eq 'conv4' && $2 == 4301 ? $4 : NaN):($3):($4 - 0.5):($4 + 0.5):($3 - 0.5):($3 + 0.5):($5 - ($3 == $4)) every ::1 with boxxyerror fillstyle solid noborder linecolor palette
set title 'conv5, step 4301'
plot 'matrices.csv' using (strcol(1) eq 'conv5' && $2 == 4301 ? $4 : NaN):($3):($4 - 0.5):($4 + 0.5):($3 - 0.5):($3 + 0.5):($5 - ($3 == $4)) every ::1 with boxxyerror fillstyle solid noborder linecolor palette
set title 'conv6, step 4301'
plot 'matrices.csv' using (strcol(1) eq 'conv6' && $2 == 4301 ? $4 : NaN):($3):($4 - 0.5):($4 + 0.5):($3 - 0.5):($3 + 0.5):($5 - ($3 == $4)) every ::1 with boxxyerror fillstyle solid noborder linecolor palette
set title 'conv7, step 4301'
plot 'matrices.csv' using (strcol(1) eq 'conv7' && $2 == 4301 ? $4 : NaN):($3):($4 - 0.5):($4 + 0.5):($3 - 0.5):($3 + 0.5):($5 - ($3 == $4)) every ::1 with boxxyerror fillstyle solid noborder linecolor palette
set title 'conv1, step 7825'
plot 'matrices.csv' using (strcol(1) eq 'conv1' && $2 == 7825 ? $4 : NaN):($3):($4 - 0.5):($4 + 0.5):($3 - 0.5):($3 + 0.5):($5 - ($3 == $4)) every ::1 with boxxyerror fillstyle solid noborder linecolor palette
set title 'conv2, step 7825'
plot 'matrices.csv' using (strcol(1) eq 'conv2' && $2 == 7825 ? $4 : NaN):($3):($4 - 0.5):($4 + 0.5):($3 - 0.5):($3 + 0.5):($5 - ($3 == $4)) every ::1 with boxxyerror fillstyle solid noborder linecolor palette
set title 'conv3, step 7825'
plot 'matrices.csv' using (strcol(1) eq 'conv3' && $2 == 7825 ? $4 : NaN):($3):($4 - 0.5):($4 + 0.5):($3 - 0.5):($3 + 0.5):($5 - ($3 == $4)) every ::1 with boxxyerror fillstyle solid noborder linecolor palette
set title 'conv4, step 7825'
plot 'matrices.csv' using (strcol(1) eq 'conv4' && $2 == 7825 ? $4 : NaN):($3):($4 - 0.5):($4 + 0.5):($3 - 0.5):($3 + 0.5):($5 - ($3 == $4)) every ::1 with boxxyerror fillstyle solid noborder linecolor palette
set title 'conv5, step 7825'
plot 'matrices.csv' using (strcol(1) eq 'conv5' && $2 == 7825 ? $4 : NaN):($3):($4 - 0.5):($4 + 0.5):($3 - 0.5):($3 + 0.5):($5 - ($3 == $4)) every ::1 with boxxyerror fillstyle solid noborder linecolor palette
set title 'conv6, step 7825'
plot 'matrices.csv' using (strcol(1) eq 'conv6' && $2 == 7825 ? $4 : NaN):($3):($4 - 0.5):($4 + 0.5):($3 - 0.5):($3 + 0.5):($5 - ($3 == $4)) every ::1 with boxxyerror fillstyle solid noborder linecolor palette
set title 'conv7, step 7825'
plot 'matrices.csv' using (strcol(1) eq 'conv7' && $2 == 7825 ? $4 : NaN):($3):($4 - 0.5):($4 + 0.5):($3 - 0.5):($3 + 0.5):($5 - ($3 == $4)) every ::1 with boxxyerror fillstyle solid noborder linecolor palette
unset multiplot
